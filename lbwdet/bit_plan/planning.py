"""``lbwdet allocate``: bit widths for each layer, from measured damage to a config that trains."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from lbwdet.bit_plan.allocation import allocate_bits, monotone_costs
from lbwdet.bit_plan.inspection import (
    Choices,
    load_quantized,
    quantizer_choices,
    read_sensitivities,
)
from lbwdet.bit_plan.quantized_config import check_new_config, write_quantized_config
from lbwdet.bit_plan.sensitivity import build_measure, layer_sensitivities, quantizers_of
from lbwdet.configs import Overrides
from lbwdet.errors import ConfigError
from lbwdet.layers import QuantLayer, quantized_as_built, quantized_layers
from lbwdet.measuring.model_map import ModelMap
from lbwdet.measuring.size import layer_bytes, weight_size
from lbwdet.quantizers import FLOAT_BIT_WIDTH, check_bit_width, relative_error
from lbwdet.tables import table
from lbwdet.training.build import hook_quant_settings

Changes = Mapping[str, Mapping[int, float]]  # of a measure, by layer and bit width
_TIE = 1e-6  # weight of the quantization error, which decides where the damage does not


@dataclass(frozen=True)
class PlanSettings(Overrides):
    """What bit widths are chosen for, and by what.

    Attributes:
        budget_mb: size of everything stored, in 10**6 bytes. Either this or
        average_bits: of the quantized weights' codes.
        bit_widths: what a layer may get.
        weight: further settings of all quantizers, ``code`` and ``granularity``.
        measure: ``'loss'`` or ``'map'``.
        num_images: for the measure.
        inspected: ``inspect.json`` of the same model, with its sensitivities at
            ``bit_widths``; without it they are measured.
        map_images: test images to measure mAP on, too; 0 for all, None for no mAP.

    Raises:
        ConfigError: no size, or two; or less than two bit widths.
    """

    budget_mb: float | None = None
    average_bits: float | None = None
    bit_widths: Sequence[int] = (2, 3, 4, 6)
    weight: Mapping[str, Any] = field(default_factory=dict)
    measure: str = "loss"
    num_images: int = 8
    inspected: str | Path | None = None
    map_images: int | None = None

    def __post_init__(self) -> None:
        sizes = [size for size in (self.budget_mb, self.average_bits) if size is not None]
        if len(sizes) != 1:
            raise ConfigError("give either --budget-mb or --average-bits")
        if not 0 < sizes[0] < math.inf:
            raise ConfigError(
                f"--budget-mb and --average-bits: {sizes[0]} is not a positive number"
            )
        if len(self.widths) < 2 or self.widths[-1] == FLOAT_BIT_WIDTH:
            raise ConfigError(f"--bit-widths {self.widths}: give two or more of 1 to 8")

    @property
    def widths(self) -> list[int]:
        """The bit widths, from few to many."""
        return sorted({check_bit_width(width) for width in self.bit_widths})


def plan_bits(
    config: str | Path, checkpoint: str | Path, out: str | Path, settings: PlanSettings
) -> dict[str, Any]:
    """Chooses each layer's bit width for a size, and writes the config of the choice.

    The choice is as good as two assumptions: that damages of single layers add up, and
    that the images stand for all. The result therefore also says what the choice, and
    each bit width used everywhere, really do on the same images.

    Args:
        config: a float config.
        checkpoint: its float weights; the new config starts from them.
        out: the config to write (``overrides`` by layer).
        settings: the size, and how damage is measured.

    Returns:
        ``bits`` by layer, and in ``models`` the rows of :func:`markdown`.

    Raises:
        ConfigError, DataError, CheckpointError: with a message for the user.
    """
    check_new_config(Path(out), config)
    widths = settings.widths
    finest = dict(settings.weight, bit_width=widths[-1])
    cfg, model = load_quantized(config, checkpoint, finest, settings)
    if quantized_as_built(model) or hook_quant_settings(cfg):
        raise ConfigError(f"{config}: is quantized already; name the float config it is based on")
    layers = quantized_layers(model)
    choices = {name: quantizer_choices(layer, widths) for name, layer in layers.items()}
    size = {
        name: {width: layer_bytes(layers[name], quantizer) for width, quantizer in own.items()}
        for name, own in choices.items()
    }
    budget = _budget(settings, model, size)
    measure = build_measure(settings.measure, cfg, settings.num_images)
    if settings.inspected is None:
        baseline, changes = layer_sensitivities(model, choices, measure)
    else:
        changes = read_sensitivities(settings.inspected, layers, choices, settings.measure)
        with quantizers_of(model, {}):
            baseline = measure(model)
    sign = -1 if settings.measure == "map" else 1  # less mAP is worse
    damage = {
        name: monotone_costs({width: sign * change for width, change in own.items()})
        for name, own in changes.items()
    }
    bits = allocate_bits(_with_ties(damage, layers, choices), size, budget)

    columns: dict[str, Callable[[nn.Module], float]] = {
        "measured": lambda model: measure(model) - baseline
    }
    if settings.map_images is not None:
        columns["map"] = ModelMap(cfg, settings.map_images or None)
    plans = {"float": {}, "allocated": bits} | {f"{w}bit": dict.fromkeys(layers, w) for w in widths}
    rows = [_row(name, plan, model, choices, changes, columns) for name, plan in plans.items()]
    common = Counter(bits.values()).most_common(1)[0][0]
    write_quantized_config(
        config,
        out,
        weight=dict(settings.weight, bit_width=common),
        overrides={name: dict(bit_width=width) for name, width in bits.items() if width != common},
        checkpoint=checkpoint,
    )
    return dict(
        measure=settings.measure,
        num_images=measure.num_images,
        baseline=baseline,
        bits=bits,
        models=rows,
    )


def _budget(settings: PlanSettings, model: nn.Module, size: Mapping[str, Mapping[int, int]]) -> int:
    """Bytes for all quantized weights; ``model`` has them at the largest bit width."""
    width = settings.widths[-1]
    most = sum(own[width] for own in size.values())
    if settings.budget_mb is not None:
        return int(settings.budget_mb * 1e6) - (weight_size(model).weight_bytes - most)
    assert settings.average_bits is not None
    num_weights = sum(layer.weight.numel() for layer in quantized_layers(model).values())
    scales = most - num_weights * width // 8
    return int(settings.average_bits * num_weights / 8) + scales


def _row(
    name: str,
    plan: Mapping[str, int],
    model: nn.Module,
    choices: Choices,
    changes: Changes,
    columns: Mapping[str, Callable[[nn.Module], float]],
) -> dict[str, Any]:
    """A plan of bit widths as it is predicted and as it is; layers not named are float."""
    counts = {layer: entry.weight.numel() for layer, entry in quantized_layers(model).items()}
    bits = sum(plan.get(layer, FLOAT_BIT_WIDTH) * count for layer, count in counts.items())
    with quantizers_of(model, {layer: choices[layer][width] for layer, width in plan.items()}):
        return dict(
            model=name,
            bytes=weight_size(model).weight_bytes,
            average_bits=bits / sum(counts.values()),
            predicted=sum(changes[layer][width] for layer, width in plan.items()),
            **{column: measured(model) for column, measured in columns.items()},
        )


def _with_ties(
    damage: Changes, layers: Mapping[str, QuantLayer], choices: Choices
) -> dict[str, dict[int, float]]:
    """Where more bits do no measurable good, they still go where they lessen the error most."""
    scale = _TIE * (max(max(own.values()) for own in damage.values()) or 1.0)

    def error(name: str, width: int) -> float:
        layer, quantizer = layers[name], choices[name][width]
        weight = layer.weight.detach()
        return relative_error(weight, quantizer.fake_quantize(weight, name, layer.channel_axis))

    return {
        name: {width: change + scale * error(name, width) for width, change in own.items()}
        for name, own in damage.items()
    }


def markdown(planned: Mapping[str, Any]) -> str:
    """The plan beside uniform bit widths."""
    measure = planned["measure"]
    columns: dict[str, Callable[[Mapping[str, Any]], object]] = {
        "model": lambda row: row["model"],
        "average bits": lambda row: f"{row['average_bits']:.2f}",
        "MB": lambda row: f"{row['bytes'] / 1e6:.3f}",
        f"{measure} change, predicted": lambda row: f"{row['predicted']:+.4f}",
        "measured": lambda row: f"{row['measured']:+.4f}",
    }
    if "map" in planned["models"][0]:
        columns["mAP"] = lambda row: f"{row['map']:.3f}"
    counts = Counter(planned["bits"].values())
    layers = ", ".join(f"{counts[width]} at {width} bits" for width in sorted(counts))
    return (
        f"{table(planned['models'], columns)}\n"
        f"Layers: {layers}. In float the {measure} is {planned['baseline']:.4f} "
        f"({planned['num_images']} images)."
    )
