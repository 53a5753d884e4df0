"""Hybrid Task Cascade: regions have features of a semantic map, too, masks those of all stages."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from mmdet.models.roi_heads import HybridTaskCascadeRoIHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.cutting import Align, cut, cut_levels, read_align
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.cascade_rcnn import CascadeRCNN
from lbwdet.deploy.lower.mask_branch import MaskBranch, Stage, read_stage
from lbwdet.deploy.lower.two_stage import proposal_maps
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.average_pool import AveragePool
from lbwdet.errors import ConfigError

BOXES, MASKS = "bbox", "mask"  # of MMDetection's semantic_fusion


class FlowOfMasks(MaskBranch):
    """The last mask head, which is given what those before it found."""

    def stages(self, roi_head: Any) -> list[Stage]:
        if not roi_head.mask_info_flow:  # with which MMDetection itself finds no masks
            raise ConfigError("roi_head.mask_info_flow=False cannot be lowered; give True")
        extractor = roi_head.mask_roi_extractor[-1]  # its features are what all of them see
        heads = enumerate(roi_head.mask_head)
        return [read_stage(f".{i}", each, extractor, _network) for i, each in heads][-1:]


@head("HybridTaskCascadeRoIHead", ("HybridTaskCascade",))
class HybridTaskCascade(CascadeRCNN):
    """``dense``: as of a cascade; the semantic map, if any region is cut from it, is a level more.

    MMDetection averages the masks of the last stage alone.
    """

    base = HybridTaskCascadeRoIHead
    methods = ("predict", *CascadeRCNN.methods)
    masks: ClassVar[type[MaskBranch]] = FlowOfMasks

    def __init__(self, model: Any) -> None:
        roi_head = model.roi_head
        self._fused = self.fused(roi_head)
        if self._fused:
            extractor = roi_head.semantic_roi_extractor
            self._semantic = read_align("roi_head.semantic_roi_extractor", extractor)
        super().__init__(model)
        self._levels += bool(self._fused)

    def fused(self, roi_head: Any) -> tuple[str, ...]:
        """The kinds of heads whose regions have semantic features, too."""
        return _fused(roi_head)

    def cut(self, program: Building, align: Align, boxes: str, levels: Sequence[str]) -> str:
        features = cut(program, align, boxes, levels)
        if (MASKS if align.output.startswith("masks") else BOXES) not in self._fused:
            return features
        semantic, fused = f"{features}.semantic", f"{features}.fused"
        cut(program, replace(self._semantic, output=semantic), boxes, levels[-1:])
        factor, rest = divmod(self._semantic.size, align.size)
        if rest:
            raise ConfigError(
                f"roi_head.semantic_roi_extractor: features of {self._semantic.size} pixels cannot "
                f"be lowered for a head of {align.size}; give a multiple of it"
            )
        if factor > 1:
            pooled = f"{semantic}.pooled"
            program.add(AveragePool(semantic, pooled, (factor, factor), (factor, factor)))
            semantic = pooled
        program.add(Add((features, semantic), fused))
        return fused

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        roi_head, features = model.roi_head, model.extract_feat(image)
        semantic = [roi_head.semantic_head(features)[1]] if _fused(roi_head) else []
        proposals = proposal_maps(model.rpn_head, features)
        return (*features[: cut_levels(roi_head)], *semantic, *proposals)


def _fused(roi_head: Any) -> tuple[str, ...]:
    """The kinds of heads whose regions have semantic features, too."""
    kinds = (BOXES, MASKS) if getattr(roi_head, "mask_head", None) is not None else (BOXES,)
    return tuple(
        kind for kind in kinds if roi_head.with_semantic and kind in roi_head.semantic_fusion
    )


def _network(model: Any, features: Tensor) -> tuple[Tensor]:
    found = None
    for each in model.roi_head.mask_head:
        logits, found = each(features, found)
    return (logits,)
