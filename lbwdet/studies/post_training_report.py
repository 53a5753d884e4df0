"""What ``benchmarks/post_training.py`` measured, as Markdown."""

import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lbwdet.tables import NOT_MEASURED, table

Row = Mapping[str, Any]
OWN = "lbwdet"  # among engines
_CHOSEN_BY = {"": "", "exact": "nearest level", "data": "images"}


def markdown(content: Mapping[str, Any]) -> str:
    """A table of each model, one of the ingredients switched off, and how they were measured."""
    rows: Sequence[Row] = content["rows"]
    models = dict.fromkeys(row["model"] for row in rows)
    parts = []
    for model in models:
        if len(models) > 1:
            parts.append(f"{model}:\n")
        parts += _tables([row for row in rows if row["model"] == model])
    parts.append(
        "mAP of all test images, in points; mean ± standard deviation over draws of "
        f"{max(row['images'] for row in rows)} training images, without their labels, or over "
        "detectors trained with several seeds. "
        "Images: as many of these as the memory of waiting passes holds. Peak: memory beyond what "
        f"the process had at its start. {_all(rows, 'threads')} threads, torch {content['torch']}, "
        f"{content['machine']}, beside other work; commit {_all(rows, 'commit')}."
    )
    return "\n".join(parts)


def _tables(rows: Sequence[Row]) -> list[str]:
    plain = [row for row in rows if row["ingredients"] in ("all", "refined", "")]
    less = [row for row in rows if row["ingredients"] not in ("all", "refined", "")]
    parts = [table(_draws(plain), _COLUMNS, left=3)]
    if less:
        kinds = {_kind(row) for row in less}
        whole = [row for row in plain if _kind(row) in kinds and row["ingredients"] == "all"]
        draws = {row["draw"] for row in less}
        whole = [row for row in whole if row["draw"] in draws and row["solver"] == "data"]
        columns = {"ingredients": _ingredients} | _ACCURACIES | {"seconds": _seconds}
        parts += ["Each ingredient switched off, at 4 bits, one draw of images:\n"]
        parts += [table(_draws([*whole, *less]), columns)]
    return parts


def short(content: Mapping[str, Any]) -> str:
    """What a reader wants to know first: the float model, and what images alone made of it.

    Of weights per channel and per tensor, those that come first.
    """
    rows = [row for row in content["rows"] if row["ingredients"] in ("all", "")]
    rows = [row for row in rows if row["model"] == rows[0]["model"]]
    rows = [row for row in rows if row["bits"] == 32 or row["solver"] != "exact"]
    first: dict[object, str] = {}
    weights = operator.itemgetter("bits", "code", "activation_bits")
    rows = [
        row
        for row in rows
        if row["granularity"] == first.setdefault(weights(row), row["granularity"])
    ]
    names = ("weights", "activations", "chosen by", "mAP area", "seconds")
    columns = {name: _COLUMNS[name] for name in names}
    images = max(row["images"] for row in rows)
    return (
        f"{table(_draws(rows), columns, left=3)}\n{rows[0]['model']}, mAP of all test photographs "
        f"in points, {images} training photographs without their labels."
    )


def _all(rows: Sequence[Row], key: str) -> str:
    """What rows have for it, shortened as commits are."""
    return ", ".join(sorted({str(row[key])[:12] for row in rows}))


def _kind(row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in ("model", "bits", "code", "granularity", "activation_bits"))


def _draws(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that differ by the draw of images alone, together."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = (*_kind(row), row["solver"], row["ingredients"], row["engine"])
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _ingredients(draws: Sequence[Row]) -> object:
    return draws[0]["ingredients"]


def _weights(draws: Sequence[Row]) -> str:
    row = draws[0]
    if row["bits"] == 32:
        return "float"
    return f"{row['bits']} bits {row['code']}, per {row['granularity']}"


def _chosen(draws: Sequence[Row]) -> str:
    row = draws[0]
    text = _CHOSEN_BY[row["solver"]] if row["engine"] == OWN else row["engine"]
    return f"{text}, refined" if row["ingredients"] == "refined" else text


def _spread(key: str) -> Callable[[Sequence[Row]], str]:
    def text(draws: Sequence[Row]) -> str:
        values = [row[key] for row in draws]
        mean = f"{statistics.mean(values):.1f}"
        return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.1f}"

    return text


def _used(draws: Sequence[Row]) -> str:
    found = sorted({row["used"] for row in draws if row.get("used")})
    return " to ".join(dict.fromkeys(map(str, (found[0], found[-1])))) if found else ""


def _seconds(draws: Sequence[Row]) -> str:
    found = [row["seconds"] for row in draws if row.get("seconds")]
    return f"{statistics.median(found):.0f}" if found else ""


def _peak(draws: Sequence[Row]) -> str:
    found = [row["peak_mb"] for row in draws if row.get("peak_mb")]
    return f"{max(found):,}" if found else "" if draws[0]["solver"] != "data" else NOT_MEASURED


_ACCURACIES = {"mAP area": _spread("mAP_area"), "mAP 11-point": _spread("mAP_11point")}
_COLUMNS: dict[str, Callable[[Sequence[Row]], object]] = {
    "weights": _weights,
    "activations": lambda draws: (
        "float" if draws[0]["activation_bits"] == 32 else f"{draws[0]['activation_bits']} bits"
    ),
    "chosen by": _chosen,
    **_ACCURACIES,
    "draws": len,
    "images": _used,
    "seconds": _seconds,
    "peak MB": _peak,
}
