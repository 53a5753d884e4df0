"""Regions of R-FCN: score maps of the whole image, then nothing but votes for each region."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmdet.registry import MODELS
from torch import Tensor

from lbwdet.deploy.lower.checks import check_type
from lbwdet.deploy.lower.regions import LoweredRegions
from lbwdet.deploy.runtime.operations import PSRoIAlign
from lbwdet.errors import ConfigError

SCORES, DELTAS = "roi_scores", "roi_deltas"


def is_rfcn(roi_head: Any) -> bool:
    """Types are found by their registered names: no model has one that was not registered."""
    kind = MODELS.module_dict.get("RFCNRoIHead")
    return kind is not None and isinstance(roi_head, kind)


class RFCNRegions:
    """Raises ConfigError if a part of the region head is another, or has other settings."""

    def __init__(self, roi_head: Any) -> None:
        extractor = roi_head.bbox_roi_extractor
        for name, module, kind, methods in (
            ("roi_head", roi_head, "RFCNRoIHead", ("forward", "predict_bbox", "_bbox_forward")),
            ("roi_head.bbox_roi_extractor", extractor, "PSRoIExtractor", ("forward", "_pool")),
            (
                "roi_head.bbox_head",
                roi_head.bbox_head,
                "RFCNHead",
                ("forward", "_predict_by_feat_single"),
            ),
        ):
            check_type(name, module, MODELS.module_dict[kind], *methods)
        if extractor.pooling != "align":
            raise ConfigError(
                f"roi_head.bbox_roi_extractor: pooling={extractor.pooling!r} cannot be lowered; "
                "supported is pooling='align'"
            )
        self._align = PSRoIAlign(
            input="",
            boxes="",
            output="",
            stride=int(extractor.featmap_stride),
            size=int(extractor.grid_size),
            sampling_ratio=max(int(extractor.sampling_ratio), 0),
        )

    def maps(self, model: Any, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        scores, deltas = model.roi_head.bbox_head.score_maps(features[-1])
        return scores, deltas

    def lower(self, model: Any, maps: Sequence[str], boxes: str) -> LoweredRegions:
        votes = tuple(
            replace(self._align, input=name, boxes=boxes, output=output)
            for name, output in zip(maps, (SCORES, DELTAS), strict=True)
        )
        return LoweredRegions(votes, {}, SCORES, DELTAS)
