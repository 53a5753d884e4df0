"""Boxes, scores and labels from the head; see ``Detections``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.operations import Detections
from lbwdet.deploy.runtime.reference.boxes import decode, exp, suppress

Array = NDArray[Any]


def softmax(logits: Array) -> Array:
    """float32 [n, c] to float32 [n, c], computed in float64."""
    wide = logits.astype(np.float64)
    powers = exp(wide - wide.max(1, keepdims=True))
    total = np.zeros(len(powers))
    for column in powers.T:
        total = total + column
    return (powers / total[:, None]).astype(np.float32)


def detections(
    operation: Detections,
    scores: Array,
    deltas: Array,
    boxes: Array,
    image_shape: tuple[int, int],
    original_shape: tuple[int, int],
) -> tuple[Array, Array, Array]:
    """The whole operation.

    Args:
        operation: what to do.
        scores: float32 [n, 1, 1, C + 1].
        deltas: float32 [n, 1, 1, 4C] or [n, 1, 1, 4].
        boxes: float32 [n, 4], the proposals.
        image_shape: height and width of the resized image before padding.
        original_shape: of the image that was given.

    Returns:
        boxes float32 [m, 4], scores float32 [m], labels int64 [m].
    """
    classes = operation.num_classes
    if not len(boxes):
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    probability = softmax(scores.reshape(-1, classes + 1))[:, :classes]
    decoded = decode(
        operation.coder, boxes[:, None], deltas.reshape(len(boxes), -1, 4), *image_shape
    )
    y, x = (
        np.float32(1) / np.float32(resized / original)
        for resized, original in zip(image_shape, original_shape, strict=True)
    )
    decoded = decoded * np.array([x, y, x, y])
    row, label = np.nonzero(probability > np.float32(operation.score_threshold))
    chosen = decoded[row, 0 if operation.class_agnostic else label]
    chosen_scores = probability[row, label]
    kept = suppress(chosen, chosen_scores, label, operation.iou_threshold)[: operation.max_boxes]
    return chosen[kept], chosen_scores[kept], label[kept].astype(np.int64)
