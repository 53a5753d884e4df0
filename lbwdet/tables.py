"""Markdown tables, and how measured numbers stand in them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lbwdet.terminal import printable

NOT_MEASURED = "not measured"


def table(
    rows: Iterable[Any], columns: Mapping[str, Callable[[Any], object]], left: int = 1
) -> str:
    """A Markdown table that is also aligned for reading as plain text.

    Args:
        rows: whatever has a row each.
        columns: heading to what a row has there; a bar, a line break or HTML does no
            harm.
        left: number of columns that are aligned left; numbers stand right.

    >>> print(table([("a|b", 4), ("float", 32)], {"model": lambda row: row[0],
    ...                                           "bits": lambda row: row[1]}), end="")
    | model | bits |
    | ----- | ---: |
    | a\\|b  |    4 |
    | float |   32 |
    """
    texts = [list(columns), *([str(cell(row)) for cell in columns.values()] for row in rows)]
    texts = [[plain(text) for text in line] for line in texts]
    widths = [max(3, *map(len, column)) for column in zip(*texts, strict=True)]
    lines = [
        [text.ljust(w) if k < left else text.rjust(w) for k, (text, w) in enumerate(pairs)]
        for pairs in (zip(line, widths, strict=True) for line in texts)
    ]
    rule = ["-" * w if k < left else "-" * (w - 1) + ":" for k, w in enumerate(widths)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (lines[0], rule, *lines[1:]))


def plain(text: str) -> str:
    r"""Text that Markdown, and HTML made of it, show as it is, in one line.

    >>> plain("a|b\n<img src=x>")
    'a\\|b &lt;img src=x&gt;'
    """
    text = printable(text.replace("\n", " "))
    for letter, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|")):
        text = text.replace(letter, written)
    return text


def accuracy_text(value: float | None) -> str:
    return "no objects" if value is None else f"{value:.3f}"


def threads_text(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def bytes_text(count: int) -> str:
    """Bytes in powers of 1000, three digits."""
    if count < 1000:
        return f"{count} B"
    value, unit = (count / 1e3, "kB") if count < 1e6 else (count / 1e6, "MB")
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def latency_text(latency: Mapping[str, Any] | None) -> str:
    """Milliseconds: ``median``, ``p10`` and ``p90``."""
    if latency is None:
        return NOT_MEASURED
    digits = 1 if latency["median"] < 100 else 0
    return "{median:.{d}f} ms ({p10:.{d}f}-{p90:.{d}f})".format(d=digits, **latency)


def machine_text(content: Mapping[str, Any]) -> str:
    """Where and with which code the ``content`` of a JSON file was measured, in a sentence."""
    threads = f", {threads_text(content['threads'])}" if "threads" in content else ""
    return f"Machine: {content['cpu']}{threads}. Commit: {content['commit'] or 'unknown'}."
