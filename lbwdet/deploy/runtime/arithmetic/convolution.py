"""Convolution in exact integers, or in reals; see ``Conv``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[int, int]


def convolve(
    factors: Array, x: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int = 1
) -> Array:
    """Sums of products; outside of the map there are zeros.

    Of integers they are exact, although in floats, with which BLAS is quick: integers below
    2**24 (2**53) and their sums are exact in float32 (float64) in whatever order BLAS adds them,
    if the sum of all magnitudes stays below; that sum is bounded by the factors.

    Args:
        factors: [o, i / groups, kh, kw], int8; or float32, if ``x`` is in reals.
        x: float32 [n, h, w, i]: whole numbers of -255 to 255, or reals.
        stride, padding, dilation: along the height and the width.
        groups: output channels of the g-th part read input channels of the g-th part alone.

    Returns:
        float32 or float64 [n, h', w', o].
    """
    outputs, inputs, kernel_h, kernel_w = factors.shape
    exact = np.issubdtype(factors.dtype, np.integer) and 255 * largest_sum(factors) >= 1 << 24
    dtype = np.dtype(np.float64 if exact else np.float32)
    (pad_y, pad_x), (step_y, step_x) = padding, stride
    padded = np.pad(x.astype(dtype), ((0, 0), (pad_y, pad_y), (pad_x, pad_x), (0, 0)))
    height, width = (
        (side - (k - 1) * gap - 1) // step + 1
        for side, k, step, gap in zip(
            padded.shape[1:3], (kernel_h, kernel_w), stride, dilation, strict=True
        )
    )
    shape = (x.shape[0], height, width)

    def window(ky: int, kx: int) -> Array:
        """The pixels that one tap of the kernel meets, [n, h', w', i]."""
        row, column = ky * dilation[0], kx * dilation[1]
        return padded[
            :,
            row : row + (height - 1) * step_y + 1 : step_y,
            column : column + (width - 1) * step_x + 1 : step_x,
        ]

    if inputs == 1 and outputs == groups:  # depthwise: no matrix products
        depthwise = np.zeros((*shape, outputs), dtype)
        for ky, kx in np.ndindex(kernel_h, kernel_w):
            depthwise += window(ky, kx) * factors[:, 0, ky, kx].astype(dtype)
        return depthwise
    total = np.zeros((*shape, groups, outputs // groups), dtype)
    for ky in range(kernel_h):
        # All taps of one kernel row at once: few matrix products, and not too much memory.
        taps = np.stack([window(ky, kx) for kx in range(kernel_w)], -2)
        taps = taps.reshape(*shape, kernel_w, groups, inputs).swapaxes(-2, -3)
        matrix: Array = factors[:, :, ky].reshape(groups, outputs // groups, inputs, kernel_w)
        matrix = matrix.transpose(0, 3, 2, 1).reshape(groups, kernel_w * inputs, -1)
        for group in range(groups):
            flat = taps[:, :, :, group].reshape(*shape, kernel_w * inputs)
            total[:, :, :, group] += flat @ matrix[group].astype(dtype)
    return total.reshape(*shape, outputs)


def largest_sum(integers: Array) -> int:
    """The largest sum of magnitudes of an output channel; int8 [o, ...], without a wide copy.

    >>> largest_sum(np.array([[1, -2], [64, 64]], np.int8))
    128
    """
    rows = integers.reshape(len(integers), -1)
    return max(int(np.abs(row).sum(dtype=np.int64)) for row in rows)


def upsample(value: Array, height: int, width: int) -> Array:
    """Nearest neighbours: pixel (i, j) of [n, h, w, c] is read at (i * h // height, ...)."""
    rows = np.arange(height) * value.shape[1] // height
    columns = np.arange(width) * value.shape[2] // width
    return value[:, rows[:, None], columns]
