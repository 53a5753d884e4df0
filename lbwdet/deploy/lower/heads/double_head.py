"""Double-Head R-CNN: classes from fully connected layers, boxes from convolutions of more."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmdet.models.roi_heads import DoubleHeadRoIHead
from mmdet.models.roi_heads.bbox_heads import DoubleConvFCBBoxHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.cutting import cut
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.faster_rcnn import StandardRegions
from lbwdet.deploy.lower.settings import check_type
from lbwdet.deploy.lower.two_stage import DETECTORS, PROPOSALS
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.errors import ConfigError


@head("DoubleHeadRoIHead", DETECTORS)
class DoubleHead(StandardRegions):
    """``dense``: as of Faster R-CNN. Boxes are predicted from larger regions than classes."""

    base = DoubleHeadRoIHead

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        roi_head = model.roi_head
        check_type("roi_head.bbox_head", roi_head.bbox_head, DoubleConvFCBBoxHead, "forward")
        factor, align = float(roi_head.reg_roi_scale_factor), self._align
        if not isinstance(align, RoIAlign):
            raise ConfigError(
                "roi_head.bbox_roi_extractor: larger regions of all levels cannot be lowered; "
                "supported is SingleRoIExtractor"
            )
        self._larger = replace(align, output="larger_roi_features", box_scale=factor)

    def add_regions(self, program: Building, levels: Sequence[str]) -> tuple[str, str, str | None]:
        features = cut(program, self._align, PROPOSALS, levels)
        (scores,) = program.trace(_scores, self._sample, features)
        larger = cut(program, self._larger, PROPOSALS, levels)
        (deltas,) = program.trace(_deltas, self._sample, larger)
        return scores, deltas, None


def _scores(model: Any, features: Tensor) -> tuple[Tensor]:
    return (_both(model, features)[0],)


def _deltas(model: Any, features: Tensor) -> tuple[Tensor]:
    return (_both(model, features)[1],)


def _both(model: Any, features: Tensor) -> tuple[Tensor, Tensor]:
    """Both branches of the same features; the one that nobody reads is left out later."""
    if model.roi_head.with_shared_head:
        features = model.roi_head.shared_head(features)
    scores, deltas = model.roi_head.bbox_head(features, features)
    return scores, deltas
