"""Convolution in exact integers, or in reals; see ``Conv``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[int, int]


def convolve(factors: Array, x: Array, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    """Sums of products; outside of the map there are zeros.

    Of integers they are exact, although in floats, with which BLAS is quick: integers below
    2**24 (2**53) and their sums are exact in float32 (float64) in whatever order BLAS adds them,
    if the sum of all magnitudes stays below; that sum is bounded by the factors.

    Args:
        factors: [o, i, kh, kw], int8; or float32, if ``x`` is in reals.
        x: float32 [n, h, w, i]: whole numbers of -255 to 255, or reals.
        stride, padding, dilation: along the height and the width.

    Returns:
        float32 or float64 [n, h', w', o].
    """
    outputs, inputs, kernel_h, kernel_w = factors.shape
    bound = 255 * np.abs(factors.astype(np.float64)).reshape(outputs, -1).sum(1).max()
    exact = np.issubdtype(factors.dtype, np.integer) and bound >= 1 << 24
    dtype = np.dtype(np.float64 if exact else np.float32)
    (pad_y, pad_x), (step_y, step_x) = padding, stride
    padded = np.pad(x.astype(dtype), ((0, 0), (pad_y, pad_y), (pad_x, pad_x), (0, 0)))
    height, width = (
        (side - (k - 1) * gap - 1) // step + 1
        for side, k, step, gap in zip(
            padded.shape[1:3], (kernel_h, kernel_w), stride, dilation, strict=True
        )
    )
    total = np.zeros((x.shape[0], height, width, outputs), dtype)
    for ky in range(kernel_h):
        row = ky * dilation[0]
        rows = padded[:, row : row + (height - 1) * step_y + 1 : step_y]
        # All taps of one kernel row at once: few matrix products, and not too much memory.
        taps = [
            rows[:, :, column : column + (width - 1) * step_x + 1 : step_x]
            for column in range(0, kernel_w * dilation[1], dilation[1])
        ]
        matrix = factors[:, :, ky].transpose(2, 1, 0).reshape(kernel_w * inputs, outputs)
        total += np.concatenate(taps, -1) @ matrix.astype(dtype)
    return total


def upsample(value: Array, height: int, width: int) -> Array:
    """Nearest neighbours: pixel (i, j) of [n, h, w, c] is read at (i * h // height, ...)."""
    rows = np.arange(height) * value.shape[1] // height
    columns = np.arange(width) * value.shape[2] // width
    return value[:, rows[:, None], columns]
