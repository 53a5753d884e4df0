"""Powers of two by way of their bits: exact, unlike ``torch.pow`` and ``torch.exp2``."""

import torch
from torch import Tensor

BIAS = 127  # of float32 exponents
_BIAS_64, _MANTISSA_64 = 1023, 52


def exp2(exponent: Tensor) -> Tensor:
    """``2**exponent`` as float64, exactly; exponents are clamped to -1022 .. 1023.

    >>> exp2(torch.tensor([-2, 0, 3]))
    tensor([0.2500, 1.0000, 8.0000], dtype=torch.float64)
    """
    biased = exponent.to(torch.int64).clamp(1 - _BIAS_64, _BIAS_64) + _BIAS_64
    return (biased << _MANTISSA_64).view(torch.float64)


def floor_log2(value: Tensor) -> Tensor:
    """The exponent field of positive floats: log2 followed by floor is off by rounding."""
    return torch.frexp(value).exponent - 1
