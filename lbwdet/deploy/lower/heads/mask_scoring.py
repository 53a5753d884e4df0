"""Mask Scoring R-CNN: another network says how good a mask is, which is a factor of the score."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from mmdet.models.roi_heads import MaskScoringRoIHead
from mmdet.models.roi_heads.mask_heads import MaskIoUHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.faster_rcnn import FasterRCNN
from lbwdet.deploy.lower.mask_branch import MASKS, MaskBranch, Stage
from lbwdet.deploy.lower.settings import check_type
from lbwdet.deploy.runtime.operations.concat import Concat
from lbwdet.deploy.runtime.operations.masks import Masks
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.operations.rescore import Rescore
from lbwdet.errors import ConfigError


class ScoredMasks(MaskBranch):
    """Masks, and scores that know of them."""

    def stages(self, roi_head: Any) -> list[Stage]:
        check_type(
            "roi_head.mask_iou_head",
            roi_head.mask_iou_head,
            MaskIoUHead,
            "forward",
            "predict_by_feat",
        )
        if roi_head.with_shared_head:
            raise ConfigError("roi_head.shared_head cannot be lowered with a mask_iou_head")
        return super().stages(roi_head)

    def add_to(self, program: Building, candidates: str, levels: Sequence[str]) -> tuple[str, str]:
        masks, _ = super().add_to(program, candidates, levels)
        (stage,), made = self._stages, program.operations[-1]
        assert isinstance(made, Masks)
        pixels, pooled, seen = (f"{MASKS}.{part}" for part in ("pixels", "pooled", "seen"))
        program.add(
            replace(made, output=pixels),
            MaxPool(pixels, pooled, kernel=(2, 2), stride=(2, 2)),
            Concat((stage.align.output, pooled), seen),
        )
        count, channels, *sides = stage.sample.shape
        sample = torch.zeros(count, channels + 1, *sides)
        (factors,) = program.trace(_overlaps, sample, seen)
        rescored = f"{candidates}.rescored"
        program.add(Rescore(candidates, factors, rescored))
        return masks, rescored


@head("MaskScoringRoIHead", ("MaskScoringRCNN",))
class MaskScoring(FasterRCNN):
    """``dense``: as of Mask R-CNN. Detections stay in the order of their class's scores."""

    base = MaskScoringRoIHead
    masks = ScoredMasks


def _overlaps(model: Any, features: Tensor) -> tuple[Tensor]:
    """As ``MaskIoUHead.forward``, of features that have the mask already."""
    scorer = model.roi_head.mask_iou_head
    for conv in scorer.convs:
        features = scorer.relu(conv(features))
    features = features.flatten(1)
    for layer in scorer.fcs:
        features = scorer.relu(layer(features))
    return (scorer.fc_mask_iou(features),)
