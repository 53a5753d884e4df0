"""FCOS and AutoAssign: distances from points to the sides of boxes, scores times centerness."""

from dataclasses import replace
from typing import Any

from mmdet.models.dense_heads import AnchorFreeHead, FCOSHead
from torch import Tensor

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.one_stage import OneStage
from lbwdet.deploy.lower.settings import Priors, read_distance_coder, read_points
from lbwdet.deploy.runtime.coders import DistanceCoder


@head("FCOSHead", ("FCOS", "NASFCOS", "AutoAssign", "SingleStageDetector"))
class FCOS(OneStage):
    """Scores, distances in pixels, or their logarithms, and centerness of every level."""

    has_factors = True

    def priors(self, head: Any) -> Priors:
        return read_points("bbox_head.prior_generator", head.prior_generator)

    def coder(self, head: Any) -> DistanceCoder:
        coder = read_distance_coder("bbox_head.bbox_coder", head.bbox_coder)
        return replace(coder, exponential=_predicts_logarithms(head))

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        head = model.bbox_head
        if not _predicts_logarithms(head):
            return OneStage.dense(model, image)
        # As FCOSHead.forward_single, but for the exponential, which is the coder's, of few boxes.
        scores, logarithms, factors = [], [], []
        for features, scale in zip(model.extract_feat(image), head.scales, strict=True):
            score, logarithm, *branches = AnchorFreeHead.forward_single(head, features)
            scores.append(score)
            logarithms.append(scale(logarithm))
            factors.append(head.conv_centerness(branches[head.centerness_on_reg]))
        return (*scores, *logarithms, *factors)


def _predicts_logarithms(head: Any) -> bool:
    """Whether distances are exponentials; AutoAssign and ``norm_on_bbox`` cut off below zero."""
    return type(head).forward_single is FCOSHead.forward_single and not head.norm_on_bbox
