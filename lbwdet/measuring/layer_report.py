"""What quantization makes of one layer."""

import dataclasses

import torch

from lbwdet.layers import QuantLayer
from lbwdet.measuring.size import layer_bytes
from lbwdet.quantizers import relative_error


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """One layer with low-bit weights; of one in an artifact, float is not known.

    Attributes:
        name: dotted name.
        shape: of the weight.
        bit_width: bits of a code.
        code: ``paper``, ``dense``, ``two-term`` or ``uniform``.
        zeros: share of weights at zero.
        bytes: codes and what goes with them, as stored.
        kind: class of the float layer.
        levels: number of weights at each level, from the most negative one to the most
            positive; zero in the middle.
        error: ``|W - Q(W)|^2 / |W|^2``.
        dropped: weights that the engines' integers cannot hold; None in PyTorch.
        sensitivity: bit width to the change of the measure when only this layer is
            quantized; empty where it was not measured.
    """

    name: str
    shape: tuple[int, ...]
    bit_width: int
    code: str
    zeros: float
    bytes: int
    kind: str | None = None
    levels: tuple[int, ...] = ()
    error: float | None = None
    dropped: int | None = None
    sensitivity: dict[int, float] = dataclasses.field(default_factory=dict)

    @property
    def damage(self) -> float | None:
        """The sensitivity at the layer's own bit width."""
        return self.sensitivity.get(self.bit_width)


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
        shape=tuple(layer.weight.shape),
        bit_width=quantized.bit_width,
        code=quantizer.code,
        zeros=(quantized.codes == 0).float().mean().item(),
        bytes=layer_bytes(layer, quantizer),
        kind=kind.__name__,
        levels=tuple(counts.tolist()),
        error=relative_error(layer.weight, layer.in_ones(quantized.dequantize())),
    )
