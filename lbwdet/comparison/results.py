"""What a comparison found, as data, JSON and a Markdown table."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lbwdet.measuring.accuracy import Accuracy
from lbwdet.measuring.candidates import Candidate, Detections
from lbwdet.measuring.speed import Latency
from lbwdet.tables import accuracy_text, bytes_text, latency_text, machine_text, plain, table


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
            **self.accuracy.maps,
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
    summary = {
        "model": lambda model: model["name"],
        "bits": lambda model: model["bit_width"],
        "mAP 11-point": lambda model: accuracy_text(model["mAP_11point"]),
        "mAP area": lambda model: accuracy_text(model["mAP_area"]),
        "weights": lambda model: bytes_text(model["weight_bytes"]),
        "smaller": lambda model: f"{model['float_bytes'] / model['weight_bytes']:.1f}x",
        "latency (p10-p90)": lambda model: latency_text(model["latency_ms"]),
        "engine": lambda model: model["engine"],
    }
    classes = {
        "AP 11-point": lambda item: item[0],
        "objects": lambda item: item[1][0]["num_gts"],
        **{model["name"]: _accuracy_of(index) for index, model in enumerate(models)},
    }
    per_class = [(name, [m["per_class"][name] for m in models]) for name in models[0]["per_class"]]
    lines = [f"- {plain(line)}" for line in protocol_lines(comparison)]
    return "\n".join([table(models, summary), table(per_class, classes), *lines, ""])


def _accuracy_of(index: int) -> Callable[[Any], str]:
    return lambda item: accuracy_text(item[1][index]["AP_11point"])


def protocol_lines(comparison: Mapping[str, Any]) -> list[str]:
    """How the numbers were made, one sentence each."""
    return [
        f"Test set: {comparison['dataset']}, {comparison['num_images']} images.",
        *(f"Left out: {reason}." for reason in comparison.get("left_out", ())),
        *comparison["protocol"].values(),
        machine_text(comparison),
    ]
