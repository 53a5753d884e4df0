"""Boxes from the region proposal head; see ``Proposals``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.operations import Proposals
from lbwdet.deploy.runtime.reference.boxes import best_first, decode, suppress

Array = NDArray[Any]


def anchors(base: Sequence[Sequence[float]], stride: int, height: int, width: int) -> Array:
    """float32 [height * width * A, 4], in the order y, x, a."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) * np.float32(stride)
    shift = np.stack([x, y, x, y], -1)[:, :, None]
    return (shift + np.array(base, np.float32)).reshape(-1, 4)


def proposals(
    operation: Proposals,
    scores: Sequence[Array],
    deltas: Sequence[Array],
    image_shape: tuple[int, int],
) -> Array:
    """The whole operation.

    Args:
        operation: what to do.
        scores: per level, float32 [1, h, w, A].
        deltas: per level, float32 [1, h, w, 4A].
        image_shape: height and width of the resized image before padding.

    Returns:
        float32 [n, 4].
    """
    boxes, logits, levels = [], [], []
    for level, (score, delta) in enumerate(zip(scores, deltas, strict=True)):
        best = best_first(score.reshape(-1))[: operation.pre_nms]
        base, stride = operation.base_anchors[level], operation.strides[level]
        start = anchors(base, stride, *score.shape[1:3])[best]
        decoded = decode(operation.coder, start, delta.reshape(-1, 4)[best], *image_shape)
        if operation.min_size >= 0:
            sides = decoded[:, 2:] - decoded[:, :2]
            large = (sides > np.float32(operation.min_size)).all(1)
            best, decoded = best[large], decoded[large]
        boxes.append(decoded)
        logits.append(score.reshape(-1)[best])
        levels.append(np.full(len(best), level))
    every = np.concatenate(boxes)
    kept = suppress(every, np.concatenate(logits), np.concatenate(levels), operation.iou_threshold)
    return every[kept[: operation.max_boxes]]
