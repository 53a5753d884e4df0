"""RetinaNet and its kin: anchors on every level, scores and what their coder reads."""

from typing import Any

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.one_stage import OneStage
from lbwdet.deploy.lower.settings import Priors, read_anchors, read_coder
from lbwdet.deploy.runtime.coders import Coder


@head("AnchorHead", ("RetinaNet", "FSAF", "SingleStageDetector"))
class Anchors(OneStage):
    """Every head that inherits how boxes are found: RetinaNet, FreeAnchor, PISA, FSAF, SSD."""

    def priors(self, head: Any) -> Priors:
        return read_anchors("bbox_head.anchor_generator", head.prior_generator)

    def coder(self, head: Any) -> Coder:
        return read_coder("bbox_head.bbox_coder", head.bbox_coder)
