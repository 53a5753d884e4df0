"""What quantization makes of each layer of a detector: levels, error, bytes, damage."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from lbwdet.bit_plan.inspection_plot import draw_layers
from lbwdet.bit_plan.sensitivity import build_measure, layer_sensitivities, quantizers_of
from lbwdet.configs import Overrides
from lbwdet.errors import ConfigError, DataError
from lbwdet.files import write_bytes, write_json, write_text
from lbwdet.layers import QuantLayer, quantize_, quantized_layers
from lbwdet.measuring.detectors import build_detector
from lbwdet.measuring.layer_report import LayerReport, report_layer
from lbwdet.quantizers import WeightQuantizer, build_quantizer
from lbwdet.tables import table

MEASURES = ("none", "loss", "map")
SORTS = ("order", "name", "zeros", "error", "bytes", "sensitivity")

Choices = Mapping[str, Mapping[int, WeightQuantizer]]  # by layer and bit width


@dataclass(frozen=True)
class InspectSettings(Overrides):
    """What to look at in the layers of a detector.

    Attributes:
        weight: as :func:`load_quantized` takes it.
        sensitivity: ``'loss'`` (on training images), ``'map'`` (on test images) or
            ``'none'``.
        bit_widths: measure the sensitivity at these, too; each layer's own always is.
        num_images: images for the sensitivity.

    Raises:
        ConfigError: there is no such sensitivity.
    """

    weight: Mapping[str, Any] | None = None
    sensitivity: str = "none"
    bit_widths: Sequence[int] = ()
    num_images: int = 8

    def __post_init__(self) -> None:
        if self.sensitivity not in MEASURES:
            raise ConfigError(
                f"sensitivity={self.sensitivity!r}: choose one of {', '.join(MEASURES)}"
            )


def load_quantized(
    config: str | Path,
    checkpoint: str | Path | None,
    weight: Mapping[str, Any] | None = None,
    overrides: Overrides | None = None,
) -> tuple[Config, nn.Module]:
    """The config and its detector, in eval mode and quantized.

    Args:
        config: an MMDetection config, quantized or not.
        checkpoint: weights that fit it; None for random initial weights.
        weight: settings that replace the config's own in every layer that it quantizes,
            or in all layers where it quantizes none.
        overrides: of the config; none by default.

    Raises:
        ConfigError, CheckpointError: with a message for the user; also where neither
            the config nor ``weight`` says how to quantize.
    """
    cfg = (overrides or Overrides()).load_config(config)
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
    settings: InspectSettings | None = None,
) -> dict[str, Any]:
    """Looks at every quantized layer of a detector.

    Args:
        config, checkpoint: as :func:`load_quantized` takes them.
        settings: what to look at; the defaults without.

    Returns:
        What was looked at, ``baseline`` (the measure in float), and ``layers``, a list of
        :class:`LayerReport`, in the model's order.

    Raises:
        ConfigError, DataError, CheckpointError: with a message for the user.
    """
    settings = settings or InspectSettings()
    sensitivity = settings.sensitivity
    if sensitivity != "none" and checkpoint is None:
        raise ConfigError(f"--sensitivity {sensitivity}: random weights have none; give CHECKPOINT")
    cfg, model = load_quantized(config, checkpoint, settings.weight, settings)
    layers = quantized_layers(model)
    reports = [report_layer(name, layer) for name, layer in layers.items()]
    baseline, num_images = None, 0
    if sensitivity != "none":
        measure = build_measure(sensitivity, cfg, settings.num_images)
        num_images = measure.num_images
        choices = {
            name: quantizer_choices(layer, settings.bit_widths) for name, layer in layers.items()
        }
        baseline, changes = layer_sensitivities(model, choices, measure)
        reports = [replace(report, sensitivity=changes[report.name]) for report in reports]
    return dict(
        config=str(config),
        checkpoint=None if checkpoint is None else str(checkpoint),
        measure=sensitivity,
        num_images=num_images,
        baseline=baseline,
        layers=reports,
    )


def quantizer_choices(layer: QuantLayer, bit_widths: Sequence[int]) -> dict[int, WeightQuantizer]:
    """The layer's own quantizer, and others like it, by bit width."""
    own = layer.quantizer
    assert own is not None
    choices = {own.bit_width: own}
    for width in bit_widths:
        quantizer = build_quantizer(width, own.code, own.solver, own.granularity, **own.options)
        if quantizer is not None:
            choices.setdefault(width, quantizer)
    return dict(sorted(choices.items()))


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
    columns: dict[str, Callable[[LayerReport], object]] = {
        "layer": lambda layer: layer.name,
        "kind": lambda layer: layer.kind,
        "shape": lambda layer: "x".join(map(str, layer.shape)),
        "bits": lambda layer: layer.bit_width,
        "levels used": lambda layer: f"{sum(map(bool, layer.levels))} of {len(layer.levels)}",
        "zeros": lambda layer: f"{layer.zeros:.3f}",
        "error": lambda layer: f"{layer.error:.4f}",
        "bytes": lambda layer: f"{layer.bytes:,}",
    }
    if inspected["measure"] != "none":
        columns[f"{inspected['measure']} change"] = lambda layer: f"{layer.damage:+.4f}"
    return table(sorted_layers(inspected["layers"], sort), columns, left=3)


def write_inspection(
    inspected: Mapping[str, Any], out_dir: str | Path, sort: str = "order"
) -> None:
    """Writes ``inspect.json``, ``inspect.md`` and ``inspect.png``."""
    out_dir = Path(out_dir)
    layers = sorted_layers(inspected["layers"], sort)
    write_json(
        out_dir / "inspect.json",
        {**inspected, "layers": [asdict(layer) for layer in inspected["layers"]]},
    )
    write_text(out_dir / "inspect.md", markdown(inspected, sort))
    write_bytes(out_dir / "inspect.png", draw_layers(layers, inspected["measure"]))


def read_sensitivities(
    path: str | Path, layers: Mapping[str, QuantLayer], choices: Choices, measure: str
) -> dict[str, dict[int, float]]:
    """The sensitivities that ``lbwdet inspect`` wrote.

    Raises:
        DataError: the file is missing or not one of that command.
        ConfigError: it lacks a layer or bit width of ``choices``, has another measure, or
            is of other weights or another code: its histograms of levels differ.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        found, histograms = {}, {}
        for layer in content["layers"]:
            name, changes = layer["name"], layer["sensitivity"]
            found[name] = {int(width): float(change) for width, change in changes.items()}
            histograms[name] = int(layer["bit_width"]), tuple(layer["levels"])
        measured = content["measure"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no inspect.json of `lbwdet inspect` ({error})") from error
    if measured != measure:
        raise ConfigError(
            f"{path}: measured {measured}, not {measure}; give --sensitivity {measured}"
        )
    for name, own in choices.items():
        missing = sorted(own.keys() - found.get(name, {}).keys())
        if missing:
            raise ConfigError(
                f"{path}: no sensitivity of {name} at {missing} bits; inspect the same model with "
                f"--bit-widths {' '.join(map(str, sorted(own)))}"
            )
        width, levels = histograms[name]
        same = quantizer_choices(layers[name], [width])[width]
        with quantizers_of(layers[name], {"": same}):
            if report_layer(name, layers[name]).levels != levels:
                raise ConfigError(
                    f"{path}: was measured on other weights, or with another code or granularity: "
                    f"the levels of {name} differ; inspect this checkpoint, with the same options"
                )
    return {name: {width: found[name][width] for width in own} for name, own in choices.items()}
