"""Suppression and overlap of boxes given as (x1, y1, x2, y2).

``offset`` is 1 where x2 and y2 name the last pixel inside the box, so that a
width is x2 - x1 + 1, and 0 where they name its edge.
"""

import torch
import torchvision
from torch import Tensor

from lbwdet.compat.operators.numerics import widen


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy non-maximum suppression.

    Args:
        boxes: [N, 4].
        scores: [N].
        iou_threshold: boxes that overlap a better one by more than this go.
        offset: 0 or 1.

    Returns:
        Indices of the boxes kept, int64, best score first.
    """
    boxes = widen(boxes)
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    # mmcv compares overlap and threshold in the precision of the boxes,
    # torchvision in float64, where an overlap of float32(0.6) exceeds 0.6.
    threshold = torch.tensor(iou_threshold, dtype=boxes.dtype).item()
    kept: Tensor = torchvision.ops.nms(boxes, scores.to(boxes.dtype), threshold)
    return kept


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft non-maximum suppression: overlapping boxes lose score, not their place.

    Args:
        boxes: [N, 4].
        scores: [N].
        dets: [N, 5]; the first K rows are filled with the boxes kept and their new scores.
        iou_threshold: overlap from which methods 0 and 1 act.
        sigma: width of method 2.
        min_score: boxes whose score falls below this go.
        method: 0 'naive' (score becomes 0), 1 'linear' (times 1 - overlap),
            2 'gaussian' (times exp(-overlap² / sigma)).
        offset: 0 or 1.

    Returns:
        Indices of the K boxes kept, int64, in the order of their new scores.
    """

    def decay(overlap: Tensor) -> Tensor:
        if method == 2:
            return torch.exp(-(overlap**2) / sigma)
        weight = 1 - overlap if method == 1 else torch.zeros_like(overlap)
        return weight.where(overlap >= iou_threshold, torch.ones_like(overlap))

    left, left_scores = widen(boxes), widen(scores)
    indices = torch.arange(len(boxes), device=boxes.device)
    kept: list[Tensor] = []
    kept_scores: list[Tensor] = []
    while len(indices):
        best = left_scores.argmax()
        kept.append(indices[best])
        kept_scores.append(left_scores[best])
        # Two boxes without area overlap by 0/0; here that is no overlap.
        overlap = _overlaps(left[best], left, offset).nan_to_num(nan=0.0)
        left_scores = left_scores * decay(overlap)
        stays = left_scores >= min_score
        stays[best] = False
        left, left_scores, indices = left[stays], left_scores[stays], indices[stays]
    if not kept:
        return indices
    order = torch.stack(kept)
    dets[: len(order), :4] = boxes[order]
    dets[: len(order), 4] = torch.stack(kept_scores)
    return order


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups each box that suppression keeps with the boxes it suppresses.

    Args:
        dets: [N, 5], boxes with scores.
        iou_threshold: boxes that overlap by at least this form a group.

    Returns:
        Groups of indices; in each the kept box comes first, the rest by score.
    """
    dets = widen(dets)
    left = dets[:, 4].argsort(descending=True, stable=True)
    groups = []
    while len(left):
        best, rest = left[0], left[1:]
        matched = _overlaps(dets[best, :4], dets[rest, :4], offset=0) >= iou_threshold
        groups.append([int(best), *rest[matched].tolist()])
        left = rest[~matched]
    return groups


def bbox_overlaps(
    bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int
) -> None:
    """Fills ``ious`` with overlaps; a pair of boxes without area gives NaN, as in mmcv.

    Args:
        bboxes1: [M, 4].
        bboxes2: [N, 4].
        ious: [M, N], or [M] if aligned.
        mode: 0 intersection over union, 1 intersection over the area of ``bboxes1``.
        aligned: whether to pair the boxes one to one (M = N) instead of all with all.
        offset: 0 or 1.
    """
    first = widen(bboxes1 if aligned else bboxes1[:, None])
    ious.copy_(_overlaps(first, widen(bboxes2), offset, over_first=mode == 1))


def _overlaps(first: Tensor, second: Tensor, offset: int, over_first: bool = False) -> Tensor:
    """Overlap of boxes whose leading dimensions broadcast."""
    top_left = torch.max(first[..., :2], second[..., :2])
    bottom_right = torch.min(first[..., 2:], second[..., 2:])
    intersection = (bottom_right - top_left + offset).clamp(min=0).prod(dim=-1)
    total = (first[..., 2:] - first[..., :2] + offset).prod(dim=-1)
    if not over_first:
        total = total + (second[..., 2:] - second[..., :2] + offset).prod(dim=-1) - intersection
    return intersection / total
