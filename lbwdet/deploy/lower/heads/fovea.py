"""FoveaBox: logarithms of distances from points, in units of each level's base length."""

from typing import Any

from mmdet.models.dense_heads import FoveaHead

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.one_stage import OneStage
from lbwdet.deploy.lower.settings import Priors, read_points
from lbwdet.deploy.runtime.coders import DistanceCoder


@head("FoveaHead", ("FOVEA", "SingleStageDetector"))
class Fovea(OneStage):
    """Scores and logarithms of every level."""

    base = FoveaHead
    methods = (*OneStage.methods, "_bbox_decode")

    def priors(self, head: Any) -> Priors:
        """A box as large as the base length around each point."""
        points = read_points("bbox_head.prior_generator", head.prior_generator)
        return points.with_sides(head.base_edge_list)

    def coder(self, head: Any) -> DistanceCoder:
        return DistanceCoder(inset=1.0, exponential=True, of_prior=True)
