"""Faster R-CNN: RoIAlign from the pyramid's levels, then a network for each region."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from mmcv.ops import RoIAlign as MMCVRoIAlign
from mmdet.models import BBoxHead, SingleRoIExtractor, StandardRoIHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.head import RegionHead, head
from lbwdet.deploy.lower.settings import check_exactly, check_type, one_of_pair
from lbwdet.deploy.lower.two_stage import DETECTORS, PROPOSALS, TwoStage
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.errors import ConfigError

NUM_SAMPLES = 2  # any number of regions to trace with; a program has none


@head("StandardRoIHead", DETECTORS)
class FasterRCNN(RegionHead):
    """``dense``: the pyramid's levels that regions are cut from, then the proposal head's maps."""

    def __init__(self, model: Any) -> None:
        roi_head, name = model.roi_head, "roi_head.bbox_roi_extractor"
        extractor = roi_head.bbox_roi_extractor
        self._two_stage = TwoStage(model)
        check_type("roi_head", roi_head, StandardRoIHead, "predict_bbox", "_bbox_forward")
        check_type(name, extractor, SingleRoIExtractor, "forward", "map_roi_levels")
        check_type("roi_head.bbox_head", roi_head.bbox_head, BBoxHead, "_predict_by_feat_single")
        self._align = _roi_align(name, extractor)
        self._channels = extractor.out_channels

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        features = model.extract_feat(image)
        scores, deltas = model.rpn_head(features)
        levels = model.roi_head.bbox_roi_extractor.num_inputs
        return (*features[:levels], *scores, *deltas)

    @staticmethod
    def region(model: Any, features: Tensor) -> tuple[Tensor, ...]:
        scores, deltas = model.roi_head.bbox_head(features)
        return scores, deltas

    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        levels = len(self._align.strides)
        self._two_stage.add_proposals(program, maps[levels:])
        program.add(replace(self._align, inputs=tuple(maps[:levels])))
        sample = torch.zeros(NUM_SAMPLES, self._channels, self._align.size, self._align.size)
        scores, deltas = program.trace(self.region, sample, self._align.output)
        self._two_stage.add_detections(program, scores, deltas)


def _roi_align(name: str, extractor: Any) -> RoIAlign:
    layers = list(extractor.roi_layers)
    for layer in layers:
        check_exactly(f"{name}.roi_layer", layer, MMCVRoIAlign)
        if layer.pool_mode != "avg" or not layer.aligned:
            raise ConfigError(
                f"{name}: RoIAlign(pool_mode={layer.pool_mode!r}, aligned={layer.aligned}) cannot "
                "be lowered; supported are pool_mode='avg' and aligned=True"
            )
    return RoIAlign(
        inputs=(),
        boxes=PROPOSALS,
        output="roi_features",
        strides=tuple(int(stride) for stride in extractor.featmap_strides),
        size=one_of_pair(f"{name}.output_size", layers[0].output_size),
        sampling_ratio=int(layers[0].sampling_ratio),
        finest_scale=float(extractor.finest_scale),
    )
