"""Faster and Mask R-CNN: RoIAlign from the pyramid's levels, then networks for each region."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from mmdet.models import StandardRoIHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.cutting import cut, cut_levels, read_align, sample_of
from lbwdet.deploy.lower.head import Head, RegionHead, head
from lbwdet.deploy.lower.mask_branch import MaskBranch
from lbwdet.deploy.lower.settings import check_type
from lbwdet.deploy.lower.two_stage import (
    DETECTORS,
    PROPOSALS,
    TwoStage,
    add_deltas,
    check_box_head,
    proposal_maps,
    region_maps,
)


class StandardRegions(Head):
    """``dense``: the maps that regions are cut from, then the proposal head's maps."""

    base: ClassVar[type] = StandardRoIHead
    masks: ClassVar[type[MaskBranch]] = MaskBranch

    def __init__(self, model: Any) -> None:
        roi_head, name = model.roi_head, "roi_head.bbox_head"
        check_type("roi_head", roi_head, self.base, "predict_bbox", "_bbox_forward")
        check_box_head(name, roi_head.bbox_head)
        align = read_align("roi_head.bbox_roi_extractor", roi_head.bbox_roi_extractor)
        self._align = replace(align, output="roi_features")
        self._sample = sample_of(roi_head.bbox_roi_extractor, align)
        self._box_head = box_head = roi_head.bbox_head
        masks = self.masks
        self._two_stage = TwoStage(model, self.base, name, box_head, masks=masks)
        self._levels = cut_levels(roi_head)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        features = model.extract_feat(image)
        proposals = proposal_maps(model.rpn_head, features)
        return (*features[: cut_levels(model.roi_head)], *proposals)

    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        levels = maps[: self._levels]
        self._two_stage.add_proposals(program, maps[self._levels :])
        scores, deltas, factors = self.add_regions(program, levels)
        self._two_stage.add_detections(program, scores, deltas, PROPOSALS, levels, factors)

    @abstractmethod
    def add_regions(self, program: Building, levels: Sequence[str]) -> tuple[str, str, str | None]:
        """Names of the scores and the deltas of the proposals, and of factors of the scores."""


@head("StandardRoIHead", DETECTORS)
class FasterRCNN(StandardRegions, RegionHead):
    """One network for each region."""

    @staticmethod
    def region(model: Any, features: Tensor) -> tuple[Tensor, ...]:
        if model.roi_head.with_shared_head:
            features = model.roi_head.shared_head(features)
        return region_maps(model.roi_head.bbox_head, features)

    def add_regions(self, program: Building, levels: Sequence[str]) -> tuple[str, str, str | None]:
        features = cut(program, self._align, PROPOSALS, levels)
        scores, *maps = program.trace(self.region, self._sample, features)
        return scores, *add_deltas(program, self._box_head, maps, "detections")
