"""What a comparison found, as data, JSON and a Markdown table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lbwdet.measuring.accuracy import Accuracy
from lbwdet.measuring.candidates import Candidate, Detections
from lbwdet.measuring.speed import Latency

# Okabe and Ito's palette without its black and yellow: told apart by colour-blind
# readers and visible on white and on dark ground.
MODEL_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class ModelResult:
    """One compared model: who it is, what it found, how well and how fast.

    ``detections`` has one entry per test image; ``latency`` is None where it
    was not measured; ``color`` marks the model in every plot and panel.
    """

    candidate: Candidate
    detections: list[Detections]
    accuracy: Accuracy
    latency: Latency | None
    color: str

    @property
    def name(self) -> str:
        return self.candidate.name

    def to_json(self) -> dict[str, Any]:
        size = self.candidate.size
        return dict(
            name=self.name,
            config=self.candidate.config,
            checkpoint=self.candidate.checkpoint,
            bit_width=size.bit_width,
            mAP_11point=self.accuracy.map_11point,
            mAP_area=self.accuracy.map_area,
            per_class={
                name: dict(
                    AP_11point=entry.ap_11point,
                    AP_area=entry.ap_area,
                    num_gts=entry.num_truths,
                    num_dets=entry.num_detections,
                )
                for name, entry in self.accuracy.per_class.items()
            },
            weight_bytes=size.weight_bytes,
            float_bytes=size.float_bytes,
            weights_by_bit_width={str(k): v for k, v in size.weights_by_bit_width.items()},
            engine=self.candidate.engine,
            latency_ms=asdict(self.latency) if self.latency else None,
        )


def markdown(comparison: Mapping[str, Any]) -> str:
    """A comparison (the content of ``compare.json``) as Markdown: summary, classes, protocol."""
    models = comparison["models"]
    summary = table(
        [
            "model",
            "bits",
            "mAP 11-point",
            "mAP area",
            "weights",
            "smaller",
            "latency (p10-p90)",
            "engine",
        ],
        [
            [
                model["name"],
                str(model["bit_width"]),
                accuracy_text(model["mAP_11point"]),
                accuracy_text(model["mAP_area"]),
                bytes_text(model["weight_bytes"]),
                f"{model['float_bytes'] / model['weight_bytes']:.1f}x",
                latency_text(model["latency_ms"]),
                model["engine"],
            ]
            for model in models
        ],
    )
    classes = table(
        ["AP 11-point", "objects", *(model["name"] for model in models)],
        [
            [
                name,
                str(models[0]["per_class"][name]["num_gts"]),
                *(accuracy_text(model["per_class"][name]["AP_11point"]) for model in models),
            ]
            for name in models[0]["per_class"]
        ],
    )
    return "\n".join([summary, classes, *(f"- {line}" for line in protocol_lines(comparison)), ""])


def protocol_lines(comparison: Mapping[str, Any]) -> list[str]:
    """How the numbers were made, one sentence each."""
    return [
        f"Test set: {comparison['dataset']}, {comparison['num_images']} images.",
        *comparison["protocol"].values(),
        f"Machine: {comparison['cpu']}, {threads_text(comparison['threads'])}. "
        f"Commit: {comparison['commit'] or 'unknown'}.",
    ]


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


def latency_text(latency: dict[str, Any] | None) -> str:
    if latency is None:
        return NOT_MEASURED
    digits = 1 if latency["median"] < 100 else 0
    return "{median:.{d}f} ms ({p10:.{d}f}-{p90:.{d}f})".format(d=digits, **latency)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that is also aligned for reading as plain text; first column left."""
    cells = [
        [cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (header, *rows)
    ]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *rest = zip(row, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:]), ""])
