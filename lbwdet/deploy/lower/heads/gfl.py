"""GFL: each distance is the mean of a distribution that is predicted."""

from dataclasses import replace
from typing import Any

from mmdet.models.dense_heads import GFLHead

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.one_stage import OneStage
from lbwdet.deploy.lower.settings import Priors, read_anchors, read_distance_coder
from lbwdet.deploy.runtime.coders import DistanceCoder


@head("GFLHead", ("GFL", "KnowledgeDistillationSingleStageDetector", "SingleStageDetector"))
class GFL(OneStage):
    """Scores and logits of the distributions, in units of the stride, of every level."""

    base = GFLHead

    def priors(self, head: Any) -> Priors:
        """A box as large as the stride around the middle of each anchor."""
        anchors = read_anchors("bbox_head.anchor_generator", head.prior_generator)
        return anchors.with_sides(anchors.strides)

    def coder(self, head: Any) -> DistanceCoder:
        coder = read_distance_coder("bbox_head.bbox_coder", head.bbox_coder)
        return replace(coder, bins=int(head.reg_max) + 1, of_prior=True)
