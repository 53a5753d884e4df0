"""The resolution that fits given activations best, by search over a grid."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lbwdet.quantizers.activation import relu_codes, top_code, uniform_codes

_OCTAVES = 8  # below the resolution that clips nothing
_COARSE, _FINE = 4, 64  # grid points per octave
_SMALLEST = 2.0**-100  # for inputs that are zero throughout: any resolution is as good


def best_relu_alpha(values: Tensor, bit_width: int) -> float:
    """The ``alpha`` of the quantized ReLU with the least mean squared error.

    Since ``sigma`` rounds up, this is smaller than for levels that take the nearest
    value: for half-Gaussian data 0.80, 0.49, 0.17 at 1, 2, 4 bits, where arXiv 1808.05240
    starts from 1.22, 0.65, 0.195, the best for rounding to the nearest.

    Args:
        values: [N], N >= 1, finite.
        bit_width: 1 to 8.
    """
    values = values.float().clamp(min=0)
    clips_nothing = max(float(values.max()) / top_code(bit_width), _SMALLEST)

    def error(ratio: float) -> float:
        alpha = torch.tensor(clips_nothing * ratio)
        return _mean_square(relu_codes(values, alpha, bit_width) * alpha - values)

    return clips_nothing * _best_ratio(error)


def best_uniform_alpha(values: Tensor, bit_width: int, symmetric: bool) -> tuple[float, int]:
    """``alpha`` and zero point of the uniform quantizer with the least mean squared error.

    Args:
        values: [N], N >= 1, finite.
        bit_width: 2 to 8.
        symmetric: the zero point is ``2**(bit_width - 1)``; otherwise both ends of the
            data's range are clipped in the same proportion, and it lies in ``1 .. L``.
    """
    values = values.float()
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    top = top_code(bit_width)
    if symmetric:
        zero_point = 1 << (bit_width - 1)
        clips_nothing = max(-low, high) / (zero_point - 1)
    else:
        clips_nothing = (high - low) / top
        zero_point = round(-low / clips_nothing) if clips_nothing > 0 else 1
        zero_point = min(max(zero_point, 1), top)
    clips_nothing = max(clips_nothing, _SMALLEST)

    def error(ratio: float) -> float:
        alpha = torch.tensor(clips_nothing * ratio)
        codes = uniform_codes(values, alpha, zero_point, bit_width)
        return _mean_square((codes - zero_point) * alpha - values)

    return clips_nothing * _best_ratio(error), zero_point


def _best_ratio(error: Callable[[float], float]) -> float:
    """The share of the resolution that clips nothing with the least error."""
    coarse = min(_grid(0, _OCTAVES * _COARSE, _COARSE), key=error)
    fine = [coarse * step for step in _grid(-_FINE // _COARSE, _FINE // _COARSE, _FINE)]
    return min(fine, key=error)


def _grid(first: int, last: int, per_octave: int) -> Iterator[float]:
    return (2.0 ** (-index / per_octave) for index in range(first, last + 1))


def _mean_square(difference: Tensor) -> float:
    return float(difference.square_().double().mean())
