"""What pixels count in the bins of a box; see ``RoIAlign``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.arithmetic.boxes import area

Array = NDArray[Any]

MAX_EXTENT = 1 << 20


def levels_of(boxes: Array, finest_scale: float, count: int) -> Array:
    """The level, 0 to count - 1, that each box [n, 4] is read from."""
    size = np.sqrt(area(boxes)) / np.float32(finest_scale) + np.float32(1e-6)
    steps = np.float32(2) ** np.arange(1, count, dtype=np.float32)
    level: Array = (size[:, None] >= steps).sum(1)
    return level


def scaled(boxes: Array, factor: float) -> Array:
    """Boxes [n, 4] whose sides are longer by a factor, around the same middles."""
    if np.float32(factor) == 1:
        return boxes
    half = np.float32(0.5)
    first, second = boxes[:, :2], boxes[:, 2:]
    middle, reach = (first + second) * half, (second - first) * np.float32(factor) * half
    return np.concatenate([middle - reach, middle + reach], 1)


def axis_weights(
    first: np.float32,
    second: np.float32,
    stride: int,
    size: int,
    sampling_ratio: int,
    length: int,
    aligned: bool = True,
) -> Array:
    """What each pixel of a line counts in each bin of one box: float32 [size, length].

    Args:
        first, second: the box's sides on this axis, in pixels of the image.
        stride: of the map.
        size: number of bins.
        sampling_ratio: samples per bin; 0: as many as it spans pixels, rounded up.
        length: of the map on this axis.
        aligned: whether the middle of a pixel lies between whole numbers, or on one.
    """
    weights = np.zeros((size, length), np.float32)
    scale, half = np.float32(1 / stride), np.float32(0.5)
    shift = half if aligned else np.float32(0)
    start = first * scale - shift
    extent = second * scale - shift - start
    if not aligned:
        extent = np.maximum(extent, np.float32(1))
    bin_size = extent / np.float32(size)
    if not 0 <= extent <= MAX_EXTENT:  # nor if it is no number
        return weights
    grid = sampling_ratio if sampling_ratio > 0 else int(np.ceil(bin_size))
    if grid <= 0:
        return weights
    bins = np.arange(size, dtype=np.float32)[:, None]
    samples = (np.arange(grid, dtype=np.float32) + half) * bin_size / np.float32(grid)
    u = start + bins * bin_size + samples
    inside = (u >= -1) & (u <= length)
    u = np.maximum(u, np.float32(0))
    j = np.floor(u)
    last = j >= length - 1
    j[last] = u[last] = length - 1
    fraction = u - j
    # Sample by sample, its first tap and then its second: np.add.at keeps the order.
    taps = np.stack([j, np.minimum(j + 1, length - 1)], -1).astype(np.int64)
    shares = np.stack([np.float32(1) - fraction, fraction], -1)
    rows = np.broadcast_to(np.arange(size)[:, None, None], taps.shape)
    np.add.at(weights, (rows[inside], taps[inside]), shares[inside])
    return weights * np.float32(1 / grid)


def pool(features: Array, weights_y: Array, weights_x: Array) -> Array:
    """Weighted sums, columns first, each in ascending order.

    Args:
        features: float32 [h, w, c].
        weights_y: float32 [size, h].
        weights_x: float32 [size, w].

    Returns:
        float32 [size, size, c].
    """
    rows = np.flatnonzero(weights_y.any(0))
    if not len(rows):
        return np.zeros((len(weights_y), len(weights_x), features.shape[2]), np.float32)
    top = rows[0]
    features = features[top : rows[-1] + 1]
    lines = np.zeros((len(features), len(weights_x), features.shape[2]), np.float32)
    # Weights of zero are left out: adding their zeros would change nothing.
    for bin_x, weights in enumerate(weights_x):
        for column in np.flatnonzero(weights):
            lines[:, bin_x] += weights[column] * features[:, column]
    pooled = np.zeros((len(weights_y), *lines.shape[1:]), np.float32)
    for bin_y, weights in enumerate(weights_y):
        for row in np.flatnonzero(weights):
            pooled[bin_y] += weights[row] * lines[row - top]
    return pooled


def cells(features: Array, weights_y: Array, weights_x: Array) -> Array:
    """Every cell's weighted sum of its own map, columns first, each in ascending order.

    Args:
        features: float32 [h, w, D, k, k], the last two being a cell's row and column.
        weights_y: float32 [k, h].
        weights_x: float32 [k, w].

    Returns:
        float32 [D, k, k].
    """
    result = np.zeros(features.shape[2:], np.float32)
    rows = np.flatnonzero(weights_y.any(0))
    if not len(rows):
        return result
    top = rows[0]
    features = features[top : rows[-1] + 1]
    lines = np.zeros((len(features), *result.shape), np.float32)
    # Weights of zero are left out: adding their zeros would change nothing.
    for bin_x, weights in enumerate(weights_x):
        for column in np.flatnonzero(weights):
            lines[..., bin_x] += weights[column] * features[:, column, ..., bin_x]
    for bin_y, weights in enumerate(weights_y):
        for row in np.flatnonzero(weights):
            result[:, bin_y] += weights[row] * lines[row - top, :, bin_y]
    return result
