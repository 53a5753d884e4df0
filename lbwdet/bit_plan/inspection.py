"""What quantization makes of each layer of a detector: levels, error, bytes, damage."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import lbwdet.compat  # noqa: F401  (before mmdet, which imports mmcv.ops)

# isort: split
from mmengine.config import Config
from torch import nn

from lbwdet.bit_plan.inspection_plot import draw_layers
from lbwdet.bit_plan.sensitivity import TrainingLoss, layer_sensitivities
from lbwdet.configs import load_config
from lbwdet.errors import ConfigError
from lbwdet.files import write_bytes, write_json, write_text
from lbwdet.layers import QuantLayer, quantize_, quantized_layers
from lbwdet.measuring.detectors import build_detector
from lbwdet.measuring.model_map import ModelMap
from lbwdet.measuring.size import layer_bytes
from lbwdet.quantizers import WeightQuantizer, build_quantizer, relative_error
from lbwdet.tables import table

MEASURES = ("none", "loss", "map")
SORTS = ("order", "name", "zeros", "error", "bytes", "sensitivity")


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """One quantized layer.

    Attributes:
        name: dotted name.
        kind: class of the float layer.
        shape: of the weight.
        bit_width: bits of a code.
        levels: number of weights at each level, from the most negative one to the most
            positive; zero in the middle.
        zeros: share of weights at zero.
        error: ``|W - Q(W)|^2 / |W|^2``.
        bytes: as stored.
        sensitivity: bit width to the change of the measure when only this layer is
            quantized; empty where it was not measured.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    bit_width: int
    levels: tuple[int, ...]
    zeros: float
    error: float
    bytes: int
    sensitivity: dict[int, float] = dataclasses.field(default_factory=dict)

    @property
    def damage(self) -> float | None:
        """The sensitivity at the layer's own bit width."""
        return self.sensitivity.get(self.bit_width)

    def to_json(self) -> dict[str, Any]:
        entry = dataclasses.asdict(self)
        entry["sensitivity"] = {str(width): value for width, value in self.sensitivity.items()}
        return entry


def load_quantized(
    config: str | Path,
    checkpoint: str | Path | None,
    weight: Mapping[str, Any] | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    data_root: str | Path | None = None,
) -> tuple[Config, nn.Module]:
    """The config and its detector, in eval mode and quantized.

    Args:
        config: an MMDetection config, quantized or not.
        checkpoint: weights that fit it; None for random initial weights.
        weight: settings that replace the config's own in every layer that it quantizes,
            or in all layers where it quantizes none.
        cfg_options: dotted keys that override the config.
        data_root: overrides the root of its VOC-format data.

    Raises:
        ConfigError, CheckpointError: with a message for the user; also where neither
            the config nor ``weight`` says how to quantize.
    """
    cfg = load_config(config, cfg_options, data_root)
    model = build_detector(cfg, checkpoint)
    own = quantized_layers(model)
    if not own and weight is None:
        raise ConfigError(f"{config}: quantizes no layer; say how: --bit-width 4")
    if own and weight is not None:
        for layer in own.values():
            layer.quantizer = build_quantizer(**weight)
            layer.forget_projection()
    elif weight is not None:
        quantize_(model, weight=weight)
    return cfg, model


def inspect_model(
    config: str | Path,
    checkpoint: str | Path | None = None,
    weight: Mapping[str, Any] | None = None,
    sensitivity: str = "none",
    bit_widths: Sequence[int] = (),
    num_images: int = 8,
    cfg_options: Mapping[str, Any] | None = None,
    data_root: str | Path | None = None,
) -> dict[str, Any]:
    """Looks at every quantized layer of a detector.

    Args:
        config, checkpoint, weight, cfg_options, data_root: as :func:`load_quantized` takes
            them.
        sensitivity: ``'loss'`` (on training images), ``'map'`` (on test images) or
            ``'none'``.
        bit_widths: measure the sensitivity at these, too; each layer's own always is.
        num_images: images for the sensitivity.

    Returns:
        What was looked at, ``baseline`` (the measure in float), and ``layers``, a list of
        :class:`LayerReport`, in the model's order.

    Raises:
        ConfigError, DataError, CheckpointError: with a message for the user.
    """
    if sensitivity not in MEASURES:
        raise ConfigError(f"sensitivity={sensitivity!r}: choose one of {', '.join(MEASURES)}")
    if sensitivity != "none" and checkpoint is None:
        raise ConfigError(f"--sensitivity {sensitivity}: random weights have none; give CHECKPOINT")
    cfg, model = load_quantized(config, checkpoint, weight, cfg_options, data_root)
    layers = quantized_layers(model)
    reports = [report_layer(name, layer) for name, layer in layers.items()]
    baseline = None
    if sensitivity != "none":
        measure = (
            TrainingLoss(cfg, num_images) if sensitivity == "loss" else ModelMap(cfg, num_images)
        )
        choices = {name: quantizer_choices(layer, bit_widths) for name, layer in layers.items()}
        baseline, changes = layer_sensitivities(model, choices, measure)
        num_images = measure.num_images
        reports = [
            dataclasses.replace(report, sensitivity=changes[report.name]) for report in reports
        ]
    return dict(
        config=str(config),
        checkpoint=None if checkpoint is None else str(checkpoint),
        measure=sensitivity,
        num_images=num_images if sensitivity != "none" else 0,
        baseline=baseline,
        layers=reports,
    )


def quantizer_choices(layer: QuantLayer, bit_widths: Sequence[int]) -> dict[int, WeightQuantizer]:
    """The layer's own quantizer, and others like it, by bit width."""
    own = layer.quantizer
    assert own is not None
    choices = {own.bit_width: own}
    for width in bit_widths:
        quantizer = build_quantizer(
            width, code=own.code, solver=own.solver, granularity=own.granularity
        )
        if quantizer is not None:
            choices.setdefault(width, quantizer)
    return dict(sorted(choices.items()))


@torch.no_grad()
def report_layer(name: str, layer: QuantLayer) -> LayerReport:
    """What the layer's quantizer makes of its weight."""
    quantizer, quantized = layer.quantizer, layer.quantized_weight()
    assert quantizer is not None
    n = quantized.num_magnitudes
    counts = torch.bincount(quantized.codes.flatten().int() + n, minlength=2 * n + 1)
    kind = next(base for base in type(layer).__mro__ if not issubclass(base, QuantLayer))
    return LayerReport(
        name=name,
        kind=kind.__name__,
        shape=tuple(layer.weight.shape),
        bit_width=quantized.bit_width,
        levels=tuple(counts.tolist()),
        zeros=(quantized.codes == 0).float().mean().item(),
        error=relative_error(layer.weight, quantized.dequantize()),
        bytes=layer_bytes(layer, quantizer),
    )


def sorted_layers(layers: Sequence[LayerReport], by: str) -> list[LayerReport]:
    """The layers by name, or the largest value first; ``'order'`` is the model's own.

    Raises:
        ConfigError: there is no such column, or it was not measured.
    """
    if by not in SORTS:
        raise ConfigError(f"--sort {by}: choose one of {', '.join(SORTS)}")
    if by == "sensitivity" and any(layer.damage is None for layer in layers):
        raise ConfigError("--sort sensitivity: it was not measured; add --sensitivity loss")
    if by == "order":
        return list(layers)
    if by == "name":
        return sorted(layers, key=lambda layer: layer.name)
    key = "damage" if by == "sensitivity" else by
    return sorted(layers, key=lambda layer: -getattr(layer, key))


def markdown(inspected: Mapping[str, Any], sort: str = "order") -> str:
    """The layers as a table; a mAP's change is negative where the detector gets worse."""
    measured = inspected["measure"] != "none"
    header = ["layer", "kind", "shape", "bits", "levels used", "zeros", "error", "bytes"]
    rows = [
        [
            layer.name,
            layer.kind,
            "x".join(map(str, layer.shape)),
            str(layer.bit_width),
            f"{sum(count > 0 for count in layer.levels)} of {len(layer.levels)}",
            f"{layer.zeros:.3f}",
            f"{layer.error:.4f}",
            f"{layer.bytes:,}",
            *([f"{layer.damage:+.4f}"] if measured else []),
        ]
        for layer in sorted_layers(inspected["layers"], sort)
    ]
    return table(header + [f"{inspected['measure']} change"] * measured, rows, left=3)


def write_inspection(
    inspected: Mapping[str, Any], out_dir: str | Path, sort: str = "order"
) -> None:
    """Writes ``inspect.json``, ``inspect.md`` and ``inspect.png``."""
    out_dir = Path(out_dir)
    layers = sorted_layers(inspected["layers"], sort)
    write_json(
        out_dir / "inspect.json",
        {**inspected, "layers": [layer.to_json() for layer in inspected["layers"]]},
    )
    write_text(out_dir / "inspect.md", markdown(inspected, sort))
    write_bytes(out_dir / "inspect.png", draw_layers(layers, inspected["measure"]))
