"""RTMDet: distances from points, in pixels."""

from dataclasses import replace
from typing import Any

from mmdet.models.dense_heads import RTMDetHead, RTMDetSepBNHead
from torch import Tensor, nn

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.one_stage import OneStage
from lbwdet.deploy.lower.settings import Priors, check_type, read_distance_coder, read_points
from lbwdet.deploy.runtime.coders import DistanceCoder


@head("RTMDetHead", ("RTMDet", "SingleStageDetector"))
class RTMDet(OneStage):
    """Scores and distances of every level, or logarithms of distances in strides."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        if _predicts_logarithms(model.bbox_head):
            check_type("bbox_head", model.bbox_head, RTMDetSepBNHead, "forward")

    def priors(self, head: Any) -> Priors:
        points = read_points("bbox_head.anchor_generator", head.prior_generator)
        return points.with_sides(points.strides) if _predicts_logarithms(head) else points

    def coder(self, head: Any) -> DistanceCoder:
        coder = read_distance_coder("bbox_head.bbox_coder", head.bbox_coder)
        exponential = _predicts_logarithms(head)
        return replace(coder, exponential=exponential, of_prior=exponential)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        head = model.bbox_head
        if not _predicts_logarithms(head):
            return OneStage.dense(model, image)
        # As RTMDetSepBNHead.forward, but for the exponential, which is the coder's, of few boxes.
        scores, logarithms = [], []
        for level, features in enumerate(model.extract_feat(image)):
            scores.append(head.rtm_cls[level](_through(head.cls_convs[level], features)))
            logarithms.append(head.rtm_reg[level](_through(head.reg_convs[level], features)))
        return (*scores, *logarithms)


def _predicts_logarithms(head: RTMDetHead) -> bool:
    return bool(getattr(head, "exp_on_reg", False)) and not head.with_objectness


def _through(layers: nn.ModuleList, features: Tensor) -> Tensor:
    for layer in layers:
        features = layer(features)
    return features
