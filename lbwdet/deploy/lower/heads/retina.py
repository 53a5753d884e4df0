"""RetinaNet: anchors on every level, a sigmoid for each class."""

from typing import Any

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.one_stage import OneStage
from lbwdet.deploy.lower.settings import Priors, read_anchors, read_coder
from lbwdet.deploy.runtime.coders import DeltaCoder


@head("RetinaHead", ("RetinaNet", "SingleStageDetector"))
class Retina(OneStage):
    """Scores and deltas of every level."""

    def priors(self, head: Any) -> Priors:
        return read_anchors("bbox_head.anchor_generator", head.prior_generator)

    def coder(self, head: Any) -> DeltaCoder:
        return read_coder("bbox_head.bbox_coder", head.bbox_coder)
