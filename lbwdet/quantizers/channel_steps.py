"""Steps of a power of two for each channel, with one zero point for all of them."""

import torch
from torch import Tensor

from lbwdet.quantizers.activation import top_code, uniform_codes
from lbwdet.quantizers.float_bits import exp2

EXPONENTS = (-40, 40)  # of steps: far beyond what activations have
_FINER = 4  # octaves below the step that clips nothing


def zero_points(bit_width: int) -> tuple[int, int, int]:
    """Those to choose from: nothing below zero, an eighth of all levels, half of them.

    Functions such as SiLU reach little below zero and far above it.

    >>> zero_points(8)
    (0, 32, 128)
    """
    return 0, 1 << bit_width >> 3, 1 << (bit_width - 1)


def best_steps(values: Tensor, bit_width: int, symmetric: bool = False) -> tuple[Tensor, int]:
    """The exponent of each channel's step and the zero point with the least squared error.

    Each channel's error counts as a share of its own energy. The exponents depend on nothing
    but a channel's own values and the zero point.

    Args:
        values: float32 [N, C], N >= 1, finite.
        bit_width: 3 to 8.
        symmetric: values of both signs have half of all levels below zero.

    Returns:
        int8 [C], and the zero point: one of :func:`zero_points`; 0 only if no value is negative.
    """
    low = float(values.min())
    nothing, eighth, half = zero_points(bit_width)
    signed = [half] if symmetric else [eighth, half]
    candidates = signed if low < 0 else [nothing]
    energy = values.double().square().sum(0).clamp(min=1e-30)
    found = [(zero_point, *_exponents(values, zero_point, bit_width)) for zero_point in candidates]
    zero_point, exponents, _ = min(found, key=lambda each: float((each[2] / energy).sum()))
    return exponents, zero_point


def _exponents(values: Tensor, zero_point: int, bit_width: int) -> tuple[Tensor, Tensor]:
    """Exponents, int8 [C], and their squared errors, float64 [C]."""
    needed = values.amax(0).clamp(min=0) / (top_code(bit_width) - zero_point)
    if zero_point:
        needed = torch.maximum(needed, -values.amin(0) / zero_point)
    _, clips_nothing = torch.frexp(needed)  # 2**exponent is above what is needed
    clips_nothing = torch.where(needed > 0, clips_nothing, 0)
    errors = []
    for octaves in range(_FINER + 1):
        steps = exp2(clips_nothing - octaves).float()
        codes = uniform_codes(values / steps, torch.ones(()), zero_point, bit_width)
        errors.append(((codes - zero_point) * steps - values).double().square().sum(0))
    least, finer = torch.stack(errors).min(0)
    return (clips_nothing - finer).clamp(*EXPONENTS).to(torch.int8), least
