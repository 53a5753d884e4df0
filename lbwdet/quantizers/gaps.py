"""How far apart levels lie around each of them: the step in which a low-bit weight counts."""

import torch
from torch import Tensor

from lbwdet.quantizers.base import QuantizedWeight
from lbwdet.quantizers.levels import magnitudes


def gaps(levels: Tensor) -> Tensor:
    """Half of the way from the level below to the one above; at either end, to the only one.

    Args:
        levels: float32 [n], ascending, two of them or more.

    >>> gaps(torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]))
    tensor([0.5000, 0.5000, 0.5000, 0.5000, 0.5000])
    """
    inner = (levels[2:] - levels[:-2]) / 2
    return torch.cat([levels[1:2] - levels[:1], inner, levels[-1:] - levels[-2:-1]])


def weight_gaps(weight: QuantizedWeight) -> Tensor:
    """The gap around the level of each weight: float32, of the weight's shape."""
    positive = torch.tensor(magnitudes(weight.bit_width, weight.code), device=weight.codes.device)
    has_zero = weight.bit_width > 1
    middle = positive.new_zeros(1 if has_zero else 0)
    around = gaps(torch.cat([-positive.flip(0), middle, positive]))
    number = weight.codes.long() + len(positive)
    if not has_zero:  # codes -1 and 1
        number = number.clamp(max=1)
    return around[number] * weight.scale
