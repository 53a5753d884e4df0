"""Regions of Faster R-CNN: RoIAlign, then a network for each region."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from mmcv.ops import RoIAlign as MMCVRoIAlign
from mmdet.models import BBoxHead, SingleRoIExtractor, StandardRoIHead
from torch import Tensor

from lbwdet.deploy.lower.checks import check_exactly, check_type, one_of_pair
from lbwdet.deploy.lower.fuse import fuse
from lbwdet.deploy.lower.regions import LoweredRegions
from lbwdet.deploy.lower.trace import trace
from lbwdet.deploy.runtime.operations import RoIAlign
from lbwdet.errors import ConfigError

ROI_FEATURES = "roi_features"
NUM_SAMPLES = 2  # any number of regions to trace with; a program has none


class FasterRCNNRegions:
    """Raises ConfigError if the region head is another, or has other settings."""

    def __init__(self, roi_head: Any) -> None:
        extractor = roi_head.bbox_roi_extractor
        name = "roi_head.bbox_roi_extractor"
        check_type("roi_head", roi_head, StandardRoIHead, "predict_bbox", "_bbox_forward")
        check_type(name, extractor, SingleRoIExtractor, "forward", "map_roi_levels")
        check_type("roi_head.bbox_head", roi_head.bbox_head, BBoxHead, "_predict_by_feat_single")
        self._align = _roi_align(name, extractor)
        self._channels = extractor.out_channels

    def maps(self, model: Any, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(features[: len(self._align.strides)])

    def lower(self, model: Any, maps: Sequence[str], boxes: str) -> LoweredRegions:
        align = replace(self._align, inputs=tuple(maps), boxes=boxes)
        sample = torch.zeros(NUM_SAMPLES, self._channels, align.size, align.size)
        head = fuse(trace(model, _box_head, sample), {"sample": align.output})
        scores, deltas = head.outputs
        return LoweredRegions((align, *head.operations), head.layers, scores, deltas)


def _box_head(model: Any, features: Tensor) -> tuple[Tensor, ...]:
    outputs: tuple[Tensor, ...] = model.roi_head.bbox_head(features)
    return outputs


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
        boxes="",
        output=ROI_FEATURES,
        strides=tuple(int(stride) for stride in extractor.featmap_strides),
        size=one_of_pair(f"{name}.output_size", layers[0].output_size),
        sampling_ratio=int(layers[0].sampling_ratio),
        finest_scale=float(extractor.finest_scale),
    )
