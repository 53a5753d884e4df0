"""The table of trained detectors, from what ``lbwdet trained-zoo`` wrote."""

from collections.abc import Callable, Mapping
from typing import Any

from lbwdet.tables import bytes_text, table

Row = Mapping[str, Any]
_SCORES = {
    "mAP area": "mAP_area",
    "mAP 11-point": "mAP_11point",
    "box AP": "box_AP",
    "mask AP50": "mask_AP50",
    "mask AP": "mask_AP",
}


def markdown(content: Mapping[str, Any]) -> str:
    """A row for each detector as float, fake-quantized and deployed."""
    rows: list[Row] = content["rows"]
    quantized = {_model(row): row for row in rows if row["kind"] == "fake-quantized"}

    def score(name: str) -> Callable[[Row], str]:
        def cell(row: Row) -> str:
            if name not in row:
                return ""
            before = quantized.get(_model(row))
            points = f"{100 * row[name]:.1f}"
            if row["kind"] != "deployed" or before is None:
                return points
            return f"{points} ({100 * (row[name] - before[name]):+.2f})"

        return cell

    columns: dict[str, Callable[[Row], object]] = {
        "detector": lambda row: row["title"],
        "": _kind,
        **{heading: score(name) for heading, name in _SCORES.items()},
        "bytes": lambda row: bytes_text(row["bytes"]),
        "made in": lambda row: "" if row["seconds"] is None else f"{row['seconds']:,.0f} s",
    }
    return f"{table(rows, columns, left=2)}\n{_note(rows)}\n"


def _model(row: Row) -> tuple[str, str]:
    return row["detector"], row["variant"]


def _kind(row: Row) -> str:
    return row["kind"] if row["kind"] == "float" else f"{row['variant']} {row['kind']}"


def _note(rows: list[Row]) -> str:
    cpus = sorted({row["cpu"] for row in rows})
    sets = dict.fromkeys(f"{row['num_images']} of {row['test_set']}" for row in rows)
    commits = sorted({(row["commit"] or "unknown")[:12] for row in rows})
    return (
        "In points; in brackets deployed less fake-quantized. mAP: MMDetection's VOC metric at IoU "
        "0.5; box and mask AP: COCO's, mean over IoU 0.5 to 0.95, mask AP50 at 0.5. Deployed: the "
        f"written file in the native engine. Test images: {', '.join(sets)}. Bytes: as in the "
        "comparisons above; of a deployed one, the whole file. Made in: training, projecting, or "
        f"exporting, where that was one run. CPU {', '.join(cpus)}; commit {', '.join(commits)}."
    )
