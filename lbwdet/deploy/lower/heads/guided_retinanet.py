"""RetinaNet with guided anchors."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmdet.models.dense_heads import GARetinaHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.guided_anchors import Guided, guided_maps
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.one_stage import BoxMaps, OneStage
from lbwdet.deploy.lower.settings import Priors, TestConfig
from lbwdet.deploy.runtime.coders import TwiceCoder
from lbwdet.deploy.runtime.operations.candidates import Candidates


@head("GARetinaHead", ("RetinaNet", "SingleStageDetector"))
class GuidedRetinaNet(OneStage):
    """Scores of all levels; of each, sides of anchors and deltas; and where anchors are.

    The best anchors survive, with all their classes.
    """

    base = GARetinaHead
    methods = ("predict", "predict_by_feat", "_predict_by_feat_single", "forward_single")

    def __init__(self, model: Any) -> None:
        self._guided = Guided("bbox_head", model.bbox_head)
        super().__init__(model)

    def priors(self, head: Any) -> Priors:
        return self._guided.priors

    def coder(self, head: Any) -> TwiceCoder:
        return self._guided.coder

    def candidates(self, head: Any, config: TestConfig) -> Candidates:
        found = replace(super().candidates(head, config), whole_anchors=True, min_size=-1.0)
        return self._guided.candidates(found)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        outputs = guided_maps(model.bbox_head, model.extract_feat(image))
        return tuple(level for kind in outputs for level in kind)

    def box_maps(self, program: Building, maps: Sequence[str]) -> BoxMaps:
        levels = len(maps) // 4
        deltas, factors = self._guided.add_to(program, maps[levels:])
        return BoxMaps(tuple(maps[:levels]), deltas, factors)
