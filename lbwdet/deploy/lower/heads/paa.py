"""PAA and LAD: scores are means of class and overlap, boxes are voted for."""

from dataclasses import replace
from typing import Any

from mmdet.models.dense_heads import PAAHead

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.atss import ATSS
from lbwdet.deploy.lower.one_stage import KEPT, RESCALED
from lbwdet.deploy.lower.settings import TestConfig
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.vote import Vote

VOTED = "detections.voted"


@head("PAAHead", ("PAA", "LAD", "SingleStageDetector"))
class PAA(ATSS):
    """The geometric mean of a class's score and the overlap; the best anchors, all classes."""

    base = PAAHead
    methods = (*ATSS.methods, "score_voting")

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._votes = bool(model.bbox_head.with_score_voting)

    def candidates(self, head: Any, config: TestConfig) -> Candidates:
        found = super().candidates(head, config)
        return replace(found, factor_first=True, root=True, whole_anchors=True, min_size=-1.0)

    def refined(self) -> tuple[Operation, ...]:
        return (Vote(KEPT, RESCALED, VOTED),) if self._votes else ()
