"""SCNet: a cascade whose regions know the whole image, and whose masks know the boxes' features."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmdet.models.roi_heads import SCNetRoIHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.cutting import Align, Cut, cut_levels, read_align, sample_of
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.htc import BOXES, HybridTaskCascade
from lbwdet.deploy.lower.heads.htc import MASKS as OF_MASKS
from lbwdet.deploy.lower.mask_branch import MASKS, MaskBranch
from lbwdet.deploy.lower.two_stage import proposal_maps
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.errors import ConfigError

RELAY = f"{MASKS}.relay"


class RelayedMasks(MaskBranch):
    """To a mask's features come those that the last box head makes of the same region."""

    def __init__(self, model: Any, base: type, cut: Cut) -> None:
        extractor = model.roi_head.bbox_roi_extractor[-1]
        align = read_align("roi_head.bbox_roi_extractor.-1", extractor)
        self._box_align = replace(align, output=f"{RELAY}.features")
        self._box_sample = sample_of(extractor, align)
        self._cut_regions = cut
        super().__init__(model, base, self._relayed)

    def _relayed(self, program: Building, align: Align, boxes: str, levels: Sequence[str]) -> str:
        features = self._cut_regions(program, align, boxes, levels)
        of_boxes = self._cut_regions(program, self._box_align, boxes, levels)
        (relay,) = program.trace(_relay, self._box_sample, of_boxes)
        program.add(Add((features, relay), RELAY))
        return RELAY


@head("SCNetRoIHead", ("SCNet",))
class SCNet(HybridTaskCascade):
    """``dense``: as Hybrid Task Cascade's.

    The context of the whole image, a number for each channel, is added to every region's features.
    Here it is added to the semantic map that they are cut from, too: RoIAlign's weights sum up to
    one for regions inside the image, and all are.
    """

    base = SCNetRoIHead
    masks = RelayedMasks

    def __init__(self, model: Any) -> None:
        roi_head = model.roi_head
        if roi_head.with_glbctx and not roi_head.with_semantic:
            raise ConfigError(
                "roi_head.glbctx_head cannot be lowered without a semantic head; give "
                "roi_head.semantic_head, or no glbctx_head"
            )
        super().__init__(model)

    def fused(self, roi_head: Any) -> tuple[str, ...]:
        return (BOXES, OF_MASKS) if roi_head.with_semantic else ()

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        roi_head, features = model.roi_head, model.extract_feat(image)
        maps = []
        if roi_head.with_semantic:
            semantic = roi_head.semantic_head(features)[1]
            if roi_head.with_glbctx:
                semantic = semantic + roi_head.glbctx_head(features)[1]
            maps = [semantic]
        proposals = proposal_maps(model.rpn_head, features)
        return (*features[: cut_levels(roi_head)], *maps, *proposals)


def _relay(model: Any, features: Tensor) -> tuple[Tensor]:
    roi_head = model.roi_head
    shared = roi_head.bbox_head[-1]._forward_shared(features)
    return (roi_head.feat_relay_head(shared),)
