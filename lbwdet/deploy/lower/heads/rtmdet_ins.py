"""RTMDet-Ins: RTMDet's boxes, and for each the kernels of a small network that finds its mask."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmdet.models.dense_heads.rtmdet_ins_head import RTMDetInsHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.grid_masks import above
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.rtmdet import RTMDet
from lbwdet.deploy.lower.kernel_masks import MASKS, with_places
from lbwdet.deploy.lower.one_stage import BoxMaps
from lbwdet.deploy.lower.settings import TestConfig
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.errors import ConfigError

REACH = 8.0  # as MMDetection has it


@head("RTMDetInsHead", ("RTMDet", "SingleStageDetector"))
class RTMDetIns(RTMDet):
    """Scores and distances of all levels; with masks, kernels and the map that all of them meet."""

    base = RTMDetInsHead
    methods = (
        "predict",
        "predict_by_feat",
        "_predict_by_feat_single",
        "_bbox_mask_post_process",
        "_mask_predict_by_feat_single",
        "parse_dynamic_params",
    )

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        box_head = model.bbox_head
        threshold = TestConfig("test_cfg", box_head.test_cfg).number("mask_thr_binary")
        if not 0 < threshold < 1:
            raise ConfigError(
                f"test_cfg.mask_thr_binary={threshold:g} cannot be lowered; give a number between "
                "0 and 1"
            )
        generator = box_head.prior_generator
        channels = [int(box_head.dyconv_channels)] * (int(box_head.num_dyconvs) - 1)
        self._masks = with_places(
            self._candidates.strides, float(generator.offset), generator, channels, REACH
        )
        self._logit = math.log(threshold / (1 - threshold))

    def candidates(self, head: Any, config: TestConfig) -> Candidates:
        return replace(super().candidates(head, config), numbered=True)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        head, features = model.bbox_head, model.extract_feat(image)
        if not _has_masks(head):
            return _boxes(head, features)
        scores, distances, kernels, shared = head(features)
        return (*scores, *distances, *kernels, shared)

    def box_maps(self, program: Building, maps: Sequence[str]) -> BoxMaps:
        levels = len(self._candidates.strides)
        return BoxMaps(tuple(maps[:levels]), tuple(maps[levels : 2 * levels]))

    def detections(self, program: Building, maps: Sequence[str], kept: str) -> Detections:
        if len(maps) == 2 * len(self._candidates.strides):
            return super().detections(program, maps, kept)
        *kernels, shared = maps[2 * len(self._candidates.strides) :]
        self._masks.add_to(program, kernels, shared, kept)
        return Detections(
            kept,
            self._candidates.num_classes,
            MASKS,
            mask_threshold=above(self._logit),
            mask_extent="scaled",
            mask_factor=self._masks.masks.step,
        )


def _has_masks(head: Any) -> bool:
    return "mask_head" in head._modules


def _boxes(head: Any, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What the head says of boxes, where its part for masks was taken away."""
    head.__dict__["mask_head"] = lambda levels: levels[0]  # something that nobody reads
    try:
        scores, distances, *_ = head(features)
    finally:
        del head.__dict__["mask_head"]
    return (*scores, *distances)
