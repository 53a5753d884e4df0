"""How many bytes a detector's weights take when stored at their bit width."""

import math
from collections import Counter
from dataclasses import dataclass

from torch import nn

from lbwdet.layers import QuantLayer, quantized_layers
from lbwdet.quantizers import FLOAT_BIT_WIDTH, WeightQuantizer

FLOAT_BYTES = 4
EXPONENT_BYTES = 1


@dataclass(frozen=True)
class WeightSize:
    """Bytes of a detector's parameters and batch-norm statistics.

    Attributes:
        weight_bytes: As stored: codes bit-packed, everything else float32.
        float_bytes: The same tensors, all in float32.
        bit_width: The bit width that holds most of the quantized weights, or
            32 where none is quantized.
        weights_by_bit_width: Number of weights stored at each bit width, from
            few bits to many; biases and batch norm count as 32.
    """

    weight_bytes: int
    float_bytes: int
    bit_width: int
    weights_by_bit_width: dict[int, int]


def packed_bytes(num_weights: int, bit_width: int, num_scales: int) -> int:
    """Bytes of one quantized weight: its codes without gaps, then its scales.

    A scale is a power of two, stored as its exponent in one byte; only at one
    bit it is a float, mean(|w|).

    >>> packed_bytes(9, bit_width=6, num_scales=1)  # 54 bits fill 7 bytes
    8
    """
    scale_bytes = FLOAT_BYTES if bit_width == 1 else EXPONENT_BYTES
    return math.ceil(num_weights * bit_width / 8) + scale_bytes * num_scales


def weight_size(model: nn.Module) -> WeightSize:
    """Sizes of everything in ``model.state_dict()`` that inference reads.

    Counters such as ``num_batches_tracked`` are left out: they are not
    needed to detect anything. A tensor shared by two layers counts once.
    """
    quantized = {layer.weight.data_ptr(): layer for layer in quantized_layers(model).values()}
    weight_bytes = float_bytes = 0
    counts: Counter[int] = Counter()
    seen = set()
    for tensor in model.state_dict().values():
        if not tensor.is_floating_point() or tensor.numel() == 0 or tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        float_bytes += FLOAT_BYTES * tensor.numel()
        layer = quantized.get(tensor.data_ptr())
        if layer is None or layer.quantizer is None:
            weight_bytes += FLOAT_BYTES * tensor.numel()
            counts[FLOAT_BIT_WIDTH] += tensor.numel()
        else:
            weight_bytes += layer_bytes(layer, layer.quantizer)
            counts[layer.quantizer.bit_width] += tensor.numel()
    low = {width: count for width, count in counts.items() if width != FLOAT_BIT_WIDTH}
    return WeightSize(
        weight_bytes=weight_bytes,
        float_bytes=float_bytes,
        bit_width=max(low, key=lambda width: low[width], default=FLOAT_BIT_WIDTH),
        weights_by_bit_width=dict(sorted(counts.items())),
    )


def layer_bytes(layer: QuantLayer, quantizer: WeightQuantizer) -> int:
    """Bytes of the layer's weight as ``quantizer`` would store it."""
    per_channel = quantizer.granularity == "channel"
    num_scales = layer.weight.shape[layer.channel_axis] if per_channel else 1
    return packed_bytes(layer.weight.numel(), quantizer.bit_width, num_scales)
