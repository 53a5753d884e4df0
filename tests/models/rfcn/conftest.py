"""A tiny R-FCN with two classes, and images of different sizes for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.runner.utils import set_random_seed
from mmengine.structures import InstanceData
from torch import nn

from lbwdet.configs import load_config
from lbwdet.training.build import build_model

CONFIG = Path(__file__).parents[3] / "configs" / "lbw_rfcn_toy_fp32.py"
SMALL = {
    "model.train_cfg.rcnn.sampler.type": "OHEMSampler",
    "model.backbone.base_channels": 8,
    "model.rpn_head.in_channels": 32,
    "model.rpn_head.feat_channels": 16,
    "model.roi_head.bbox_head.in_channels": 64,
    "model.roi_head.bbox_head.feat_channels": 16,
    "model.roi_head.bbox_head.grid_size": 3,
    "model.roi_head.bbox_head.num_classes": 2,
    "model.roi_head.bbox_roi_extractor.grid_size": 3,
}


@pytest.fixture
def detector() -> Callable[..., nn.Module]:
    """Builds an R-FCN of a few channels; ``changes`` are dotted keys of its config."""

    def build(**changes: Any) -> nn.Module:
        set_random_seed(0)
        model = build_model(load_config(CONFIG, {**SMALL, **changes}))
        model.init_weights()
        return model

    return build


@pytest.fixture
def batch() -> dict[str, Any]:
    """Two images, 64x96 and 80x64, with two objects and one, before preprocessing."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(64, 96), (80, 64)]
    boxes = [[[8.0, 8, 40, 40], [50, 20, 90, 60]], [[10, 30, 50, 70]]]
    labels = [[0, 1], [1]]
    samples = []
    for (height, width), box, label in zip(sizes, boxes, labels, strict=True):
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0)
            )
        )
        sample.gt_instances = InstanceData(bboxes=torch.tensor(box), labels=torch.tensor(label))
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64)
        )
        samples.append(sample)
    images = [
        torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8) for size in sizes
    ]
    return dict(inputs=images, data_samples=samples)
