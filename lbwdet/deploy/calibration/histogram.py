"""Values seen on images, and the 8-bit quantizations that suit them.

``minmax``: the range from the least to the largest value seen. ``percentile``: the
range of all but the outermost ``1 - PERCENTILE`` of them. ``mse``: the range whose
rounding and clipping errors have the least sum of squares, after the function by which the values
are read, if there is one: of what ``silu`` turns into next to nothing, little needs to be kept.
"""

from collections.abc import Callable

import numpy as np
import torch

from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.weights import Array
from lbwdet.errors import DataError

METHODS = ("mse", "percentile", "minmax")
PERCENTILE = 0.9999
CLIPS = 2.0 ** (-np.arange(64) / 16)  # shares of the range that `mse` tries
ROUNDS = 2
_HALF = 4096  # bins of a histogram on each side of zero


class Histogram:
    """Counts of the values of arrays, zeros apart, whatever their range.

    The bins divide ``-limit .. limit`` evenly; ``limit`` is a power of two that doubles, and
    bins merge in pairs, when a larger value comes. So the order of the images does not matter.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(2 * _HALF)
        self.limit = 0.0
        self.low = self.high = 0.0
        self.channels = 0

    def add(self, array: Array) -> None:
        """Counts float32 values; raises DataError if one is NaN or infinite."""
        if array.size == 0:
            return
        self.channels = array.shape[-1]
        values = torch.from_numpy(array)
        low, high = (float(end) for end in torch.aminmax(values))
        largest = max(-low, high)
        if not np.isfinite(largest):
            raise DataError("values are NaN or infinite")
        if largest == 0:
            return
        self._reach(2.0 ** (np.floor(np.log2(largest)) + 1))
        counts = torch.histc(values, 2 * _HALF, -self.limit, self.limit).numpy()
        self.counts += counts
        self.counts[_HALF] -= int((values == 0).sum())
        self.low, self.high = min(self.low, low), max(self.high, high)

    def _reach(self, limit: float) -> None:
        if self.limit == 0:
            self.limit = limit
        while self.limit < limit:
            merged = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.concatenate([np.zeros(_HALF // 2), merged, np.zeros(_HALF // 2)])
            self.limit *= 2

    def values(self) -> tuple[Array, Array]:
        """Centres of the bins that hold something, ascending, and their counts."""
        centres = (np.arange(2 * _HALF) - _HALF + 0.5) * (self.limit / _HALF)
        filled = self.counts > 0
        return centres[filled], self.counts[filled]


Function = Callable[[Array], Array]


def as_it_is(values: Array) -> Array:
    """No function."""
    return values


def fit(histogram: Histogram, method: str, read_by: Function = as_it_is) -> Quantization:
    """The 8-bit quantization of values with this histogram; methods as of :func:`calibrate`.

    ``read_by`` is what everybody who reads them computes of them first, element by element.
    """
    centres, counts = histogram.values()
    low, high = histogram.low, histogram.high
    if not len(centres):  # nothing but zeros was seen
        return Quantization(1.0)
    if method == "percentile":
        share = np.cumsum(counts) / counts.sum()
        low = min(0.0, centres[np.searchsorted(share, 1 - PERCENTILE)])
        high = max(0.0, centres[np.searchsorted(share, PERCENTILE)])
    elif method == "mse":
        for _ in range(ROUNDS):
            for end in (0, 1):
                candidates = [
                    (low * clip, high) if end == 0 else (low, high * clip) for clip in CLIPS
                ]
                errors = [squared_error(histogram, affine(*ends), read_by) for ends in candidates]
                low, high = candidates[int(np.argmin(errors))]
    return affine(low, high)


def affine(low: float, high: float) -> Quantization:
    """The 8-bit quantization that covers ``low .. high`` and zero.

    >>> affine(0.0, 25.5).zero_point, affine(-1.0, 3.0).zero_point
    (0, 64)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255)) or 1.0
    return Quantization(scale, int(np.clip(np.rint(-low / scale), 0, 255)))


def squared_error(
    histogram: Histogram, quantization: Quantization, read_by: Function = as_it_is
) -> float:
    """Sum of the squared rounding and clipping errors, after the function ``read_by``."""
    centres, counts = histogram.values()
    errors = read_by(real(codes(centres, quantization), quantization)) - read_by(centres)
    return float((counts * np.square(errors)).sum())


def codes(values: Array, quantization: Quantization) -> Array:
    """The integers of real numbers, uint8."""
    steps = values / quantization.scale
    steps = np.ceil(steps) if quantization.rounding == "ceil" else np.rint(steps)
    return np.clip(steps + quantization.zero_point, 0, quantization.maximum).astype(np.uint8)


def real(integers: Array, quantization: Quantization) -> Array:
    """What these integers stand for, float64."""
    return (integers.astype(np.float64) - quantization.zero_point) * quantization.scale
