"""Votes of boxes' cells; see ``PSRoIAlign``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.operations import PSRoIAlign
from lbwdet.deploy.runtime.reference.roi_align import axis_weights

Array = NDArray[Any]


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


def ps_roi_align(operation: PSRoIAlign, scores: Array, boxes: Array) -> Array:
    """The whole operation.

    Args:
        operation: what to do.
        scores: float32 [1, h, w, D * size**2].
        boxes: float32 [n, 4].

    Returns:
        float32 [n, 1, 1, D].
    """
    size, stride, ratio = operation.size, operation.stride, operation.sampling_ratio
    _, height, width, channels = scores.shape
    features = scores[0].reshape(height, width, -1, size, size)
    votes = np.zeros((len(boxes), 1, 1, channels // size**2), np.float32)
    for vote, (x1, y1, x2, y2) in zip(votes, boxes, strict=True):
        weights_y = axis_weights(y1, y2, stride, size, ratio, height)
        weights_x = axis_weights(x1, x2, stride, size, ratio, width)
        pooled = cells(features, weights_y, weights_x)
        for row, column in np.ndindex(size, size):  # numpy's own sum has another order
            vote[0, 0] += pooled[:, row, column]
    return votes * np.float32(1 / size**2)
