"""What FCOS predicts of each point: as a detector's head, and as one that proposes regions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmdet.models.dense_heads import AnchorFreeHead, FCOSHead
from torch import Tensor

from lbwdet.deploy.lower.settings import read_distance_coder
from lbwdet.deploy.runtime.coders import DistanceCoder


def point_maps(head: Any, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Scores of all levels, then distances, or their logarithms, then centerness."""
    if not _predicts_logarithms(head):
        return tuple(level for kind in head(features) for level in kind)
    # As FCOSHead.forward_single, but for the exponential, which is the coder's, of few boxes.
    scores, logarithms, factors = [], [], []
    for level, scale in zip(features, head.scales, strict=True):
        score, logarithm, *branches = AnchorFreeHead.forward_single(head, level)
        scores.append(score)
        logarithms.append(scale(logarithm))
        factors.append(head.conv_centerness(branches[head.centerness_on_reg]))
    return (*scores, *logarithms, *factors)


def read_point_coder(name: str, head: Any) -> DistanceCoder:
    """Raises ConfigError if boxes are coded otherwise than by distances from points."""
    coder = read_distance_coder(f"{name}.bbox_coder", head.bbox_coder)
    return replace(coder, exponential=_predicts_logarithms(head))


def _predicts_logarithms(head: Any) -> bool:
    """Whether distances are exponentials; AutoAssign and ``norm_on_bbox`` cut off below zero."""
    return type(head).forward_single is FCOSHead.forward_single and not head.norm_on_bbox
