"""What quantization makes of one layer, and many of them in order."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from lbwdet.errors import ConfigError
from lbwdet.layers import QuantLayer
from lbwdet.measuring.size import layer_bytes
from lbwdet.quantizers import relative_error

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
