"""The masks of QueryInst, whose boxes' objects make the matrices of their features."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.layers import DynamicConv
from mmdet.models.roi_heads.mask_heads import DynamicMaskHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.cutting import NUM_SAMPLES
from lbwdet.deploy.lower.mask_branch import MASKS, MaskBranch, Stage, read_stage
from lbwdet.deploy.lower.regions import dynamic_conv
from lbwdet.deploy.lower.settings import check_exactly, check_type

OBJECTS = f"{MASKS}.objects"
"""Of each candidate, what its box learned of the others; a program has it before its masks."""


class DynamicMasks(MaskBranch):
    """The last mask head; those before it are there for training."""

    def stages(self, roi_head: Any) -> list[Stage]:
        last, part = roi_head.mask_head[-1], f".{len(roi_head.mask_head) - 1}"
        name = f"roi_head.mask_head{part}"
        check_type(name, last, DynamicMaskHead, "forward")
        conv = last.instance_interactive_conv
        check_exactly(f"{name}.instance_interactive_conv", conv, DynamicConv)
        return [read_stage(part, last, roi_head.mask_roi_extractor[-1], _network)]

    def add_scores(
        self, program: Building, stage: Stage, regions: str, levels: Sequence[str]
    ) -> str:
        features = self._cut(program, stage.align, regions, levels)
        objects = torch.zeros(NUM_SAMPLES, stage.sample.shape[1])
        samples, sources = (stage.sample, objects), (features, OBJECTS)
        (scores,) = program.trace(stage.network, samples, sources)
        return scores


def _network(model: Any, features: Tensor, objects: Tensor) -> tuple[Tensor]:
    """As ``DynamicMaskHead.forward``."""
    head = model.roi_head.mask_head[-1]
    pixels = dynamic_conv(head.instance_interactive_conv, objects, features)
    x = pixels.transpose(1, 2).unflatten(2, features.shape[2:])
    for conv in head.convs:
        x = conv(x)
    if head.upsample is not None:
        x = head.upsample(x)
        if head.upsample_method == "deconv":
            x = head.relu(x)
    return (head.conv_logits(x),)
