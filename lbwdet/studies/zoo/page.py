"""The results of a walk through the zoo in words and tables."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lbwdet.errors import DataError
from lbwdet.files import write_text
from lbwdet.tables import table

OUTCOMES = {
    "runs": "every step runs in float and quantized",
    "runs in part": "every step that runs in float runs quantized; a step fails already in float",
    "fails in float": "no step runs in float on this machine",
    "fails quantized": "a step runs in float, but not quantized",
    "not tried": "the walk has not come to it",
}
_EXAMPLES = 3


def write_page(results: str | Path, page: str | Path) -> None:
    """Writes the page that ``results``, the JSON file of a walk, gives.

    Raises:
        DataError: ``results`` is not there or no such file.
    """
    try:
        content = json.loads(Path(results).read_text(encoding="utf-8"))
        text = page_text(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{results}: no results of `lbwdet zoo` to write a page from") from error
    write_text(page, text)


def summary(content: Mapping[str, Any]) -> str:
    """How many configs fared how, in a line each."""
    counts = Counter(map(_outcome, _detectors(content)))
    lines = [
        f"{counts[name]:4} {name}: {meaning}" for name, meaning in OUTCOMES.items() if counts[name]
    ]
    return "\n".join(lines)


def page_text(content: Mapping[str, Any]) -> str:
    """The page as Markdown: totals, a table by family, and why what did not run did not."""
    entries = _detectors(content)
    families: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        families.setdefault(entry["family"], []).append(entry)
    rows = [*sorted(families.items()), ("**all**", entries)]
    weight, versions = content["weight"], content["versions"]
    parts = [
        "# MMDetection's configs, quantized",
        f"Written by `lbwdet zoo --page` from {_plural(len(entries), 'config')}: all that "
        "MMDetection ships outside `_base_` folders, but for those that have no model (parts of "
        "configs, test-time augmentations). `make test-zoo` tries one config of each family again.",
        content["about"],
        f"Weights: {weight['bit_width']} bits, {weight['code']} code, all layers. "
        f"MMDetection {versions['mmdet']}, torch {versions['torch']}, {content['cpu']}. "
        f"Commit: {content['commit']}.",
        "\n".join(f"- **{name}**: {meaning}." for name, meaning in OUTCOMES.items()),
        table(rows, _COLUMNS).rstrip(),
        _reasons("fails quantized", "Fails quantized", entries),
        _reasons("fails in float", "Fails in float", entries),
        _reasons("runs in part", "Runs in part: what fails in float", entries),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _detectors(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry for entry in content["configs"] if entry.get("outcome") != "no model"]


def _outcome(entry: Mapping[str, Any]) -> str:
    return str(entry.get("outcome", "not tried"))


def _reasons(kind: str, title: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """A list of the reasons, each with the number of configs and some of them; '' if none."""
    groups: dict[str, list[str]] = {}
    for entry in entries:
        if _outcome(entry) == kind:
            groups.setdefault(" ".join(entry["reason"].split()), []).append(entry["config"])
    lines = []
    for why, names in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        examples = ", ".join(names[:_EXAMPLES]) + (", ..." if len(names) > _EXAMPLES else "")
        lines.append(f"- {_plural(len(names), 'config')}: `{why}` ({examples})")
    return f"## {title}\n\n" + "\n".join(lines) if lines else ""


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _count(name: str) -> Callable[[Any], object]:
    return lambda row: sum(_outcome(entry) == name for entry in row[1]) or ""


_COLUMNS: dict[str, Callable[[Any], object]] = {
    "family": lambda row: row[0],
    "configs": lambda row: len(row[1]),
    "models": lambda row: len({entry.get("model", entry["config"]) for entry in row[1]}),
    **{name: _count(name) for name in OUTCOMES},
}
