"""How near a deployed detector comes to the one that it was made of."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.evaluation.functional import bbox_overlaps
from numpy.typing import NDArray

Array = NDArray[Any]
Found = tuple[Array, Array, Array]
"""Boxes [n, 4], scores [n], labels [n]."""

IOU = 0.9
SAME = 0.01  # pixels; boxes without area, whose IoU is 0, are the same if no side is further away
_LEAST = 1e-12


def map_error(found: Sequence[Array], expected: Sequence[Array]) -> float:
    """``|found - expected| / |expected - mean of its map|``, over all maps together.

    1: no better than a constant for each map.
    """
    differences = sum(float(np.square(a - b).sum()) for a, b in zip(found, expected, strict=True))
    spreads = sum(float(np.square(values - values.mean()).sum()) for values in expected)
    return math.sqrt(differences / max(spreads, _LEAST))


def match(found: Found, expected: Found) -> tuple[float | None, float | None]:
    """Share of the expected boxes that were found, and how far the scores of these are apart.

    A box is found if one of the same label overlaps it by an IoU of at least ``IOU``, or is the
    same; each stands for one, the best first.

    Returns:
        The share, and the mean absolute difference of scores; None where there are no boxes.
    """
    boxes, scores, labels = found
    if not len(expected[1]):
        return None, None
    free = np.ones(len(scores), bool)
    differences = []
    for box, score, label in zip(*expected, strict=True):
        ious = bbox_overlaps(box[None], boxes)[0]
        ious[np.abs(boxes - box).max(1, initial=0) <= SAME] = 1.0
        overlaps = np.where(free & (labels == label), ious, 0.0)
        if len(overlaps) and overlaps.max() >= IOU:
            best = int(overlaps.argmax())
            free[best] = False
            differences.append(abs(float(scores[best]) - float(score)))
    share = len(differences) / len(expected[1])
    return share, float(np.mean(differences)) if differences else None
