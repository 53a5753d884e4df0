"""RTMDet: distances from points, in pixels."""

from typing import Any

from mmdet.models.task_modules import DistancePointBBoxCoder, MlvlPointGenerator

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.one_stage import OneStage
from lbwdet.deploy.lower.settings import Priors, check_exactly, one_of_pair
from lbwdet.deploy.runtime.coders import DistanceCoder


@head("RTMDetHead", ("RTMDet", "SingleStageDetector"))
class RTMDet(OneStage):
    """Scores and distances of every level."""

    def priors(self, head: Any) -> Priors:
        points, name = head.prior_generator, "bbox_head.anchor_generator"
        check_exactly(name, points, MlvlPointGenerator)
        strides = tuple(one_of_pair(f"{name}.strides", stride) for stride in points.strides)
        middles = tuple(float(points.offset * stride) for stride in strides)
        return Priors(strides, tuple(((m, m, m, m),) for m in middles))

    def coder(self, head: Any) -> DistanceCoder:
        check_exactly("bbox_head.bbox_coder", head.bbox_coder, DistancePointBBoxCoder)
        return DistanceCoder(clip=bool(head.bbox_coder.clip_border))
