"""Cascade R-CNN: region heads one after the other, each on the boxes of the one before."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from mmdet.models import CascadeRoIHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.cutting import Align, cut, cut_levels, read_align, sample_of
from lbwdet.deploy.lower.head import Head, head
from lbwdet.deploy.lower.mask_branch import MaskBranch
from lbwdet.deploy.lower.settings import check_type
from lbwdet.deploy.lower.two_stage import (
    PROPOSALS,
    TwoStage,
    add_deltas,
    check_box_head,
    proposal_maps,
    read_region_coder,
    region_maps,
)
from lbwdet.deploy.runtime.operations.mean import Mean
from lbwdet.deploy.runtime.operations.refine import Refine


@head("CascadeRoIHead", ("CascadeRCNN", "TwoStageDetector"))
class CascadeRCNN(Head):
    """``dense``: the maps that regions are cut from, then the proposal head's maps.

    The scores of all stages are averaged, and the last one's boxes count.
    """

    base: ClassVar[type] = CascadeRoIHead
    methods: ClassVar[tuple[str, ...]] = ("predict_bbox", "_refine_roi", "_bbox_forward")
    masks: ClassVar[type[MaskBranch]] = MaskBranch

    def __init__(self, model: Any) -> None:
        roi_head = model.roi_head
        check_type("roi_head", roi_head, self.base, *self.methods)
        heads, extractors = list(roi_head.bbox_head), list(roi_head.bbox_roi_extractor)
        self._box_heads = heads
        self._aligns, self._samples, self._refines = [], [], []
        for stage, (box_head, extractor) in enumerate(zip(heads, extractors, strict=True)):
            name = f"roi_head.bbox_head.{stage}"
            check_box_head(name, box_head)
            align = read_align(f"roi_head.bbox_roi_extractor.{stage}", extractor)
            self._aligns.append(replace(align, output=f"roi_features.{stage}"))
            self._samples.append(sample_of(extractor, align))
            self._refines.append(_read_refine(name, box_head, f"{PROPOSALS}.{stage + 1}"))
        last = len(heads) - 1
        name = f"roi_head.bbox_head.{last}"
        self._two_stage = TwoStage(model, self.base, name, heads[last], self.cut, self.masks)
        self._levels = cut_levels(roi_head)

    def cut(self, program: Building, align: Align, boxes: str, levels: Sequence[str]) -> str:
        """Adds the features of regions; see :func:`~lbwdet.deploy.lower.cutting.cut`."""
        return cut(program, align, boxes, levels)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        features = model.extract_feat(image)
        proposals = proposal_maps(model.rpn_head, features)
        return (*features[: cut_levels(model.roi_head)], *proposals)

    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        levels = maps[: self._levels]
        boxes = self._two_stage.add_proposals(program, maps[self._levels :])
        every: list[str] = []
        deltas, factors = "", None
        for stage, align in enumerate(self._aligns):
            if stage:
                refine = self._refines[stage - 1]
                scores = every[-1] if refine.num_classes > 1 else None
                program.add(replace(refine, deltas=deltas, boxes=boxes, scores=scores))
                boxes = refine.output
            features = self.cut(program, align, boxes, levels)
            compute = functools.partial(_network, stage)
            found, *predicted = program.trace(compute, self._samples[stage], features)
            deltas, factors = add_deltas(
                program, self._box_heads[stage], predicted, f"detections.{stage}"
            )
            every.append(found)
        program.add(Mean(tuple(every), "scores"))
        self._two_stage.add_detections(program, "scores", deltas, boxes, levels, factors)


def _read_refine(name: str, box_head: Any, output: str) -> Refine:
    classes = 1 if box_head.reg_class_agnostic else int(box_head.num_classes)
    coder = read_region_coder(name, box_head)
    return Refine(deltas="", boxes="", output=output, coder=coder, num_classes=classes)


def _network(stage: int, model: Any, features: Tensor) -> tuple[Tensor, ...]:
    return region_maps(model.roi_head.bbox_head[stage], features)
