"""FCOS and AutoAssign: distances from points to the sides of boxes, scores times centerness."""

from typing import Any

from torch import Tensor

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.one_stage import OneStage
from lbwdet.deploy.lower.points import point_maps, read_point_coder
from lbwdet.deploy.lower.settings import Priors, read_points
from lbwdet.deploy.runtime.coders import DistanceCoder


@head("FCOSHead", ("FCOS", "NASFCOS", "AutoAssign", "SingleStageDetector"))
class FCOS(OneStage):
    """Scores, distances in pixels, or their logarithms, and centerness of every level."""

    has_factors = True

    def priors(self, head: Any) -> Priors:
        return read_points("bbox_head.prior_generator", head.prior_generator)

    def coder(self, head: Any) -> DistanceCoder:
        return read_point_coder("bbox_head", head)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        return point_maps(model.bbox_head, model.extract_feat(image))
