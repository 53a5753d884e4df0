"""Which pixels propose a box, and which queries count; see ``InnerPixels``, ``DistinctPixels``."""

import numpy as np

from lbwdet.deploy.runtime.context import Array


def is_inner(height: int, width: int, margin: float) -> Array:
    """bool [height, width]: whose middle is inside of the map by more than the margin.

    Of a side of n pixels, in float32: ``m < p and p < 1 - m``, for a middle ``p = (i + 0.5) / n``.
    """
    y, x = (_inner(side, np.float32(margin)) for side in (height, width))
    return np.asarray(y[:, None] & x)


def named(numbers: Array, count: int) -> Array:
    """bool [count]: which of so many pixels are among the numbers, -1 of which name none."""
    found = np.zeros(count, bool)
    found[[int(number) for number in numbers.reshape(-1) if 0 <= number < count]] = True
    return found


def counted(numbers: Array, count: int) -> Array:
    """The same, or all, if the first is among them.

    MMDetection reads which queries count off the first row of a mask of pairs one of which does.
    """
    found = named(numbers, count)
    return np.ones_like(found) if found[:1].any() else found


def _inner(side: int, margin: np.float32) -> Array:
    middle = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    return np.asarray((middle > margin) & (middle < np.float32(1) - margin))
