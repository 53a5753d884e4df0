"""How near a deployed detector comes to the one that it was made of."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Found = tuple[Array, Array, Array]
"""Boxes [n, 4], scores [n], labels [n]."""

IOU = 0.9


def map_error(found: Sequence[Array], expected: Sequence[Array]) -> float:
    """Root mean square over maps of ``|found - expected| / |expected - mean(expected)|``.

    1: no better than a constant. Maps that are constant do not count.
    """
    squares = []
    for one, other in zip(found, expected, strict=True):
        spread = np.square(other - other.mean()).sum()
        if spread > 0:
            squares.append(np.square(one - other).sum() / spread)
    return float(np.sqrt(np.mean(squares))) if squares else 0.0


def match(found: Found, expected: Found) -> tuple[float | None, float | None]:
    """Share of the expected boxes that were found, and how far the scores of these are apart.

    A box is found if one of the same label overlaps it by an IoU of at least ``IOU``; each stands
    for one, the best first.

    Returns:
        The share, and the mean absolute difference of scores; None where there are no boxes.
    """
    boxes, scores, labels = found
    if not len(expected[1]):
        return None, None
    free = np.ones(len(scores), bool)
    differences = []
    for box, score, label in zip(*expected, strict=True):
        overlaps = np.where(free & (labels == label), _ious(box, boxes), 0.0)
        if len(overlaps) and overlaps.max() >= IOU:
            best = int(overlaps.argmax())
            free[best] = False
            differences.append(abs(float(scores[best]) - float(score)))
    share = len(differences) / len(expected[1])
    return share, float(np.mean(differences)) if differences else None


def _ious(box: Array, boxes: Array) -> Array:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)
    union = areas + np.clip(box[2:] - box[:2], 0, None).prod() - shared
    return np.asarray(shared / np.maximum(union, 1e-9))
