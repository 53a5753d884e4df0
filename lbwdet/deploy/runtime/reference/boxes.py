"""Boxes: the exponential, decoding, suppression; see ``BoxCoder`` and ``Proposals``.

Everything is float32, one rounding per operation, unless it says float64.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.operations import BoxCoder

Array = NDArray[Any]

_HALF = np.float32(0.5)


def exp(x: Array) -> Array:
    """The float64 exponential that every engine computes alike."""
    x = x.astype(np.float64)
    k = np.rint(x * 1.4426950408889634)
    r = x - k * 0.6931471805599453
    p = np.ones_like(x)
    for n in range(13, 0, -1):
        p = 1 + p * r / n
    # Below -1100 the result is 0 in any case; the exponent must fit an integer.
    return np.ldexp(p, np.maximum(k, -2000).astype(np.int64))


def decode(coder: BoxCoder, boxes: Array, deltas: Array, height: int, width: int) -> Array:
    """Moves and stretches boxes, and clamps them to the image.

    Args:
        coder: means, standard deviations and the largest stretch.
        boxes: float32 [..., 4].
        deltas: float32 [..., 4] that broadcasts with ``boxes``.
        height, width: of the resized image, in pixels.

    Returns:
        float32 [..., 4].
    """
    d = deltas * np.array(coder.stds, np.float32) + np.array(coder.means, np.float32)
    largest = np.float32(abs(math.log(coder.max_ratio)))
    sides = []
    for axis, length in ((0, width), (1, height)):
        first, second = boxes[..., axis], boxes[..., axis + 2]
        size, center = second - first, (first + second) * _HALF
        stretch = exp(np.clip(d[..., axis + 2], -largest, largest)).astype(np.float32)
        center, half = center + size * d[..., axis], (size * stretch) * _HALF
        sides.append(
            [np.clip(side, 0, np.float32(length)) for side in (center - half, center + half)]
        )
    (x1, x2), (y1, y2) = sides
    return np.stack([x1, y1, x2, y2], -1)


def area(boxes: Array) -> Array:
    """Of boxes [..., 4]."""
    sides: Array = boxes[..., 2:] - boxes[..., :2]
    return np.asarray(sides[..., 0] * sides[..., 1])


def overlap(box: Array, others: Array) -> Array:
    """Intersection over union of one box [4] and others [n, 4]: float32 [n]."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    sides = np.maximum(high - low, np.float32(0))
    intersection = sides[:, 0] * sides[:, 1]
    union = area(box) + area(others) - intersection
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nan_to_num(intersection / union, nan=0.0))


def suppress(boxes: Array, scores: Array, groups: Array, iou_threshold: float) -> Array:
    """Which boxes survive, best first (ties: the lower index).

    Args:
        boxes: float32 [n, 4].
        scores: float32 [n].
        groups: int [n]; only boxes of one group suppress one another.
        iou_threshold: a box is dropped if its overlap with a kept one is above.

    Returns:
        int64 indices.
    """
    order = best_first(scores)
    dropped = np.zeros(len(order), bool)
    for group in np.unique(groups):
        members = order[groups[order] == group]
        while len(members):
            rest = members[1:]
            close = overlap(boxes[members[0]], boxes[rest]) > np.float32(iou_threshold)
            dropped[rest[close]] = True
            members = rest[~close]
    return order[~dropped[order]]


def best_first(scores: Array) -> Array:
    """Indices in descending order of the scores; ties keep their order."""
    return np.argsort(-scores, kind="stable")
