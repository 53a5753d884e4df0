"""Exact projection onto sums of two powers of two, by search over the scale exponent."""

import functools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lbwdet.quantizers.base import WeightQuantizer, check_finite
from lbwdet.quantizers.float_bits import exp2, floor_log2
from lbwdet.quantizers.levels import TWO_TERM, magnitudes
from lbwdet.quantizers.packing import Packed

_LOWEST_EXPONENT, _HIGHEST_EXPONENT = -126, 127  # of normal float32
_TRIED_AT_ONCE, _TRIED_VALUES = 3, 1 << 24  # exponents, and values in all of them, on a GPU


class TwoTermQuantizer(WeightQuantizer):
    """The least-squares projection for the code ``'two-term'`` (solver ``'exact'``).

    For a fixed scale exponent ``s`` the best level of a weight is the nearest one. A top
    level above twice the largest weight does no better than the next lower one, which has
    all the levels that are left, and more; and going down from there, what is lost by
    clipping alone grows, so that the search ends where that exceeds the best error found.

    Ties go away from zero, and to the larger of two equally good ``s``. All levels are
    normal float32 numbers.

    >>> weight = torch.tensor([0.9, -0.3, 0.05, 0.0])
    >>> TwoTermQuantizer(bit_width=6, code="two-term").fake_quantize(weight)
    tensor([ 1.0000, -0.3125,  0.0469,  0.0000])
    """

    solver = "exact"
    codes = ("two-term",)
    packs = True
    recorded_values = _TRIED_VALUES

    def __init__(self, bit_width: int, code: str = "two-term", granularity: str = "tensor") -> None:
        super().__init__(bit_width, code, granularity)
        self._lowest = _LOWEST_EXPONENT + TWO_TERM[bit_width][-1].bit_length() - 1

    def scale(self, groups: Tensor) -> Tensor:
        largest = groups.abs().amax(1)
        check_finite(largest)
        exponent = floor_log2(largest.double()) + 1
        exponent = torch.where(largest > 0, exponent, 0).clamp(self._lowest, _HIGHEST_EXPONENT)
        best, best_exponent = groups.double().square().sum(1), torch.zeros_like(exponent)
        searching = largest > 0
        while bool(searching.any()):
            top = exp2(exponent)
            scale = top.to(torch.float32)
            error = (self.assign(groups, scale).double() - groups).square().sum(1)
            better = searching & (error < best)
            best = torch.where(better, error, best)
            best_exponent = torch.where(better, exponent, best_exponent)
            clipped = (groups.abs().double() - top[:, None] / 2).clamp_(min=0).square_().sum(1)
            exponent = exponent - 1
            searching &= (clipped < best) & (exponent >= self._lowest)
        return exp2(best_exponent).to(torch.float32)

    def search(
        self, packed: Packed, peak: float = math.inf
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """As :meth:`scale`: several exponents at a time, and all groups until the last has found.

        A group that :meth:`scale` no longer searches finds nothing better: what clipping alone
        loses is the least that it can.
        """
        magnitude, group = packed.rows.abs(), packed.layout.group
        exact = magnitude.double()
        best = packed.sums(exact.square())
        largest = packed.largest(magnitude)
        top = exp2((floor_log2(largest.double()) + 1).clamp(self._lowest, _HIGHEST_EXPONENT))
        number = min(max(_TRIED_VALUES // magnitude.numel(), 1), _TRIED_AT_ONCE)
        steps = exp2(-torch.arange(number, device=top.device))[:, None]
        best_top, least = torch.ones_like(top), 2.0**self._lowest
        while True:
            tops = top * steps
            scale = tops.to(torch.float32).index_select(1, group)[..., None]
            values, index = self._nearest(magnitude, scale)
            errors = packed.sums((values[index] * scale - exact).square_())
            error, which = errors.masked_fill_(tops < least, torch.inf).min(0)
            best_top = torch.where(error < best, tops.gather(0, which[None])[0], best_top)
            best = torch.minimum(error, best)
            last = tops[-1].index_select(0, group)[:, None]
            clipped = packed.sums((exact - last / 2).clamp_(min=0).square_())
            top = tops[-1] / 2
            yield best_top.to(torch.float32), ((clipped < best) & (top >= least)).sum()

    def assign(self, groups: Tensor, scale: Tensor) -> Tensor:
        values, index = self._nearest(groups.abs(), scale[:, None])
        return values[index].copysign(groups) * scale[:, None]

    def _encode(self, levels: Tensor, scale: Tensor) -> Tensor:
        _, index = self._nearest(levels.abs(), scale[:, None])
        return (index * levels.sign()).to(torch.int8)

    def _nearest(self, magnitude: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Zero and the magnitudes, and which of them is each weight's."""
        values, middles = _table(self.bit_width, magnitude.device)
        # A power of two divides exactly, except what is too small for any level.
        return values, torch.bucketize(magnitude / scale, middles, right=True)


@functools.cache
def _table(bit_width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Zero and the magnitudes, and what lies half way between them."""
    with torch.inference_mode(False):
        values = torch.tensor([0.0, *magnitudes(bit_width, "two-term")], device=device)
        return values, (values[1:] + values[:-1]) / 2
