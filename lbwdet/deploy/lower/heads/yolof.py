"""YOLOF: one level of anchors that may move so far; scores times objectness."""

from dataclasses import replace
from typing import Any

from mmdet.models.dense_heads import YOLOFHead
from torch import Tensor

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.anchors import Anchors
from lbwdet.deploy.lower.settings import TestConfig
from lbwdet.deploy.runtime.operations.candidates import Candidates


@head("YOLOFHead", ("YOLOF", "SingleStageDetector"))
class YOLOF(Anchors):
    """Scores, deltas and objectness.

    ``c + o - log(1 + exp(c) + exp(o))``, the logit that MMDetection makes of a class c and the
    objectness o, is that of ``sigmoid(c) * sigmoid(o)``.
    """

    base = YOLOFHead
    methods = (*Anchors.methods, "forward_single")
    has_factors = True

    def candidates(self, head: Any, config: TestConfig) -> Candidates:
        return replace(super().candidates(head, config), factor_first=True)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        head, (features,) = model.bbox_head, model.extract_feat(image)
        of_boxes = head.bbox_subnet(features)
        scores = head.cls_score(head.cls_subnet(features))
        return scores, head.bbox_pred(of_boxes), head.object_pred(of_boxes)
