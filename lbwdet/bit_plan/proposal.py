"""``lbwdet allocate``: bit widths for each layer, from measured damage to a config that trains."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lbwdet.bit_plan.allocation import allocate_bits, monotone_costs
from lbwdet.bit_plan.inspection import load_quantized, quantizer_choices, report_layer
from lbwdet.bit_plan.quantized_config import write_quantized_config
from lbwdet.bit_plan.sensitivity import TrainingLoss, layer_sensitivities, quantizers_of
from lbwdet.errors import ConfigError, DataError
from lbwdet.layers import QuantLayer, quantized_layers
from lbwdet.measuring.model_map import ModelMap
from lbwdet.measuring.size import layer_bytes, weight_size
from lbwdet.quantizers import FLOAT_BIT_WIDTH, WeightQuantizer, check_bit_width, relative_error
from lbwdet.tables import table

Choices = Mapping[str, Mapping[int, WeightQuantizer]]
Changes = Mapping[str, Mapping[int, float]]
_TIE = 1e-6  # weight of the quantization error, which decides where the damage does not


def propose(
    config: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    *,
    budget_mb: float | None = None,
    average_bits: float | None = None,
    bit_widths: Sequence[int] = (2, 3, 4, 6),
    weight: Mapping[str, Any] | None = None,
    measure: str = "loss",
    num_images: int = 8,
    inspected: str | Path | None = None,
    map_images: int | None = None,
    data_root: str | Path | None = None,
) -> dict[str, Any]:
    """Chooses each layer's bit width for a size, and writes the config of the choice.

    The choice is as good as two assumptions: that damages of single layers add up, and
    that the images stand for all. The result therefore also says what the choice, and
    each bit width used everywhere, really do on the same images.

    Args:
        config: a float config.
        checkpoint: its float weights; the new config starts from them.
        out: the config to write (``overrides`` by layer).
        budget_mb: size of everything stored, in 10**6 bytes. Either this or
        average_bits: of the quantized weights' codes.
        bit_widths: what a layer may get.
        weight: further settings of all quantizers, ``code`` and ``granularity``.
        measure: ``'loss'`` or ``'map'``.
        num_images: for the measure.
        inspected: ``inspect.json`` of the same model, with its sensitivities at
            ``bit_widths``; without it they are measured.
        map_images: test images to measure mAP on, too; 0 for all, None for no mAP.
        data_root: overrides the root of the config's VOC-format data while measuring.

    Returns:
        ``bits`` by layer, and in ``models`` the rows of :func:`markdown`.

    Raises:
        ConfigError, DataError, CheckpointError: with a message for the user.
    """
    widths = sorted({check_bit_width(width) for width in bit_widths})
    if (budget_mb is None) == (average_bits is None):
        raise ConfigError("give either --budget-mb or --average-bits")
    given = budget_mb if average_bits is None else average_bits
    if not (given is not None and 0 < given < math.inf):
        raise ConfigError(f"--budget-mb and --average-bits: {given} is not a positive number")
    if len(widths) < 2 or widths[-1] == FLOAT_BIT_WIDTH:
        raise ConfigError(f"--bit-widths {widths}: give two or more of 1 to 8")
    settings = dict(weight or {})
    finest = dict(settings, bit_width=widths[-1])
    cfg, model = load_quantized(config, checkpoint, finest, data_root=data_root)
    layers = quantized_layers(model)
    choices: Choices = {name: quantizer_choices(layer, widths) for name, layer in layers.items()}
    size = {
        name: {width: layer_bytes(layers[name], quantizer) for width, quantizer in own.items()}
        for name, own in choices.items()
    }
    rest = weight_size(model).weight_bytes - sum(own[widths[-1]] for own in size.values())
    num_weights = sum(layer.weight.numel() for layer in layers.values())
    if budget_mb is not None:
        budget = int(budget_mb * 1e6) - rest
    else:
        scales = sum(own[widths[-1]] for own in size.values()) - num_weights * widths[-1] // 8
        budget = int(average_bits * num_weights / 8) + scales  # type: ignore[operator]
    metric = TrainingLoss(cfg, num_images) if measure == "loss" else ModelMap(cfg, num_images)
    if inspected is None:
        baseline, changes = layer_sensitivities(model, choices, metric)
    else:
        changes = read_sensitivities(inspected, layers, choices, measure)
        with quantizers_of(model, {}):
            baseline = metric(model)
    damage = {name: _damage(own, measure) for name, own in changes.items()}
    bits = allocate_bits(_with_ties(damage, layers, choices), size, budget)

    plans = {"allocated": bits} | {f"{w}bit": dict.fromkeys(layers, w) for w in widths}
    tester = None if map_images is None else ModelMap(cfg, map_images or None)

    def row(name: str, plan: Mapping[str, int]) -> dict[str, Any]:
        """A plan of bit widths as it is predicted and as it is; layers not named are float."""
        with quantizers_of(model, {layer: choices[layer][plan[layer]] for layer in plan}):
            found = dict(
                model=name,
                bytes=weight_size(model).weight_bytes,
                average_bits=sum(
                    plan.get(layer, FLOAT_BIT_WIDTH) * entry.weight.numel()
                    for layer, entry in layers.items()
                )
                / num_weights,
                predicted=sum(changes[layer][width] for layer, width in plan.items()),
                measured=metric(model) - baseline,
            )
            return found | (dict(map=tester(model)) if tester else {})

    rows = [row("float", {}), *(row(name, plan) for name, plan in plans.items())]
    common = Counter(bits.values()).most_common(1)[0][0]
    write_quantized_config(
        config,
        out,
        weight=dict(settings, bit_width=common),
        overrides={name: dict(bit_width=width) for name, width in bits.items() if width != common},
        checkpoint=checkpoint,
    )
    return dict(
        measure=measure, num_images=metric.num_images, baseline=baseline, bits=bits, models=rows
    )


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
        found = {
            layer["name"]: {int(width): float(v) for width, v in layer["sensitivity"].items()}
            for layer in content["layers"]
        }
        histograms = {
            layer["name"]: (int(layer["bit_width"]), tuple(layer["levels"]))
            for layer in content["layers"]
        }
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


def _damage(changes: Mapping[int, float], measure: str) -> dict[int, float]:
    sign = -1 if measure == "map" else 1
    return monotone_costs({width: sign * change for width, change in changes.items()})


def _with_ties(
    damage: Changes, layers: Mapping[str, QuantLayer], choices: Choices
) -> dict[str, dict[int, float]]:
    """Where more bits do no measurable good, they still go where they lessen the error most."""
    scale = _TIE * (max(max(own.values()) for own in damage.values()) or 1.0)
    costs = {}
    for name, own in damage.items():
        layer = layers[name]
        weight = layer.weight.detach()
        levels = {
            width: quantizer.fake_quantize(weight, name, layer.channel_axis)
            for width, quantizer in choices[name].items()
        }
        costs[name] = {
            width: own[width] + scale * relative_error(weight, levels[width]) for width in own
        }
    return costs


def markdown(proposed: Mapping[str, Any]) -> str:
    """The proposal beside uniform bit widths."""
    measure = proposed["measure"]
    with_map = "map" in proposed["models"][0]
    header = ["model", "average bits", "MB", f"{measure} change, predicted", "measured"]
    rows = [
        [
            row["model"],
            f"{row['average_bits']:.2f}",
            f"{row['bytes'] / 1e6:.3f}",
            f"{row['predicted']:+.4f}",
            f"{row['measured']:+.4f}",
            *([f"{row['map']:.3f}"] if with_map else []),
        ]
        for row in proposed["models"]
    ]
    counts = Counter(proposed["bits"].values())
    layers = ", ".join(f"{counts[width]} at {width} bits" for width in sorted(counts))
    return (
        f"{table(header + ['mAP'] * with_map, rows)}\n"
        f"Layers: {layers}. In float the {measure} is {proposed['baseline']:.4f} "
        f"({proposed['num_images']} images)."
    )
