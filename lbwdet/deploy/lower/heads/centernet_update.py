"""CenterNet2's proposals as detections: distances from points to the sides of boxes."""

from typing import Any

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.one_stage import OneStage
from lbwdet.deploy.lower.settings import Priors, read_distance_coder, read_points
from lbwdet.deploy.runtime.coders import DistanceCoder


@head("CenterNetUpdateHead", ("CenterNet", "SingleStageDetector"))
class CenterNetUpdate(OneStage):
    """Scores and distances in pixels of every level."""

    def priors(self, head: Any) -> Priors:
        return read_points("bbox_head.prior_generator", head.prior_generator)

    def coder(self, head: Any) -> DistanceCoder:
        return read_distance_coder("bbox_head.bbox_coder", head.bbox_coder)
