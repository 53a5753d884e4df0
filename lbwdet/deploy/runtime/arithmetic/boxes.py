"""Boxes: the exponential, overlap, suppression; see the coders and ``Suppress``.

Everything is float32, one rounding per operation, unless it says float64.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


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


def area(boxes: Array) -> Array:
    """Of boxes [..., 4]."""
    sides: Array = boxes[..., 2:] - boxes[..., :2]
    return np.asarray(sides[..., 0] * sides[..., 1])


def overlaps(sides: Array) -> Array:
    """Intersection over union of the first box and each of the others; 0 / 0 counts as 0.

    Args:
        sides: float32 [4, n]: by columns, with which numpy is quick.

    Returns:
        float32 [n - 1].
    """
    x1, y1, x2, y2 = sides
    width = np.minimum(x2[0], x2[1:]) - np.maximum(x1[0], x1[1:])
    height = np.minimum(y2[0], y2[1:]) - np.maximum(y1[0], y1[1:])
    zero = np.float32(0)
    intersection = np.maximum(width, zero) * np.maximum(height, zero)
    areas = (x2 - x1) * (y2 - y1)
    union = areas[0] + areas[1:] - intersection
    some = (intersection != 0) | (union != 0)
    quotient: Array = np.divide(intersection, union, out=np.zeros_like(union), where=some)
    return quotient


def suppress(
    boxes: Array,
    scores: Array,
    groups: Array,
    iou_threshold: float,
    fast: bool = False,
    most: int = 0,
) -> Array:
    """Which boxes survive, best first (ties: the lower index).

    Args:
        boxes: float32 [n, 4].
        scores: float32 [n].
        groups: int [n]; only boxes of one group suppress one another.
        iou_threshold: a box is dropped if its overlap with a kept one is above.
        fast: or with one that was dropped.
        most: of a group that count; 0: all.

    Returns:
        int64 indices.
    """
    order = best_first(scores)
    dropped = np.zeros(len(order), bool)
    for group in np.unique(groups):
        members = order[groups[order] == group]
        if most:
            dropped[members[most:]] = True
            members = members[:most]
        sides = np.ascontiguousarray(boxes[members].T)
        while len(members):
            close = overlaps(sides) > np.float32(iou_threshold)
            members, sides = members[1:], sides[:, 1:]
            if close.any():
                dropped[members[close]] = True
                if not fast:
                    members, sides = members[~close], sides[:, ~close]
    return order[~dropped[order]]


def softmax(logits: Array) -> Array:
    """float32 [n, c] to float32 [n, c], computed in float64, summed in order."""
    wide = logits.astype(np.float64)
    powers = exp(wide - wide.max(1, keepdims=True))
    total = np.zeros(len(powers))
    for column in powers.T:
        total = total + column
    return np.asarray((powers / total[:, None]).astype(np.float32))


def sigmoid(logits: Array) -> Array:
    """``f32(1 / (1 + exp(min(max(-x, -700), 700))))`` of float32, computed in float64."""
    powers = exp(np.clip(-logits.astype(np.float64), -700, 700))
    return np.asarray((1 / (1 + powers)).astype(np.float32))


def best_first(scores: Array) -> Array:
    """Indices in descending order of the scores; ties keep their order."""
    return np.argsort(-scores, kind="stable")


def anchors(base: Sequence[Sequence[float]], stride: float, height: int, width: int) -> Array:
    """float32 [height * width * A, 4], in the order y, x, a."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) * np.float32(stride)
    shift = np.stack([x, y, x, y], -1)[:, :, None]
    return (shift + np.array(base, np.float32)).reshape(-1, 4)
