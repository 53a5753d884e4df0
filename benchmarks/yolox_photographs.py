"""YOLOX-Nano with COCO weights on the photographs of voc-sample: the model, its data, its mAP.

The network is MMDetection's ``mmdet::yolox/yolox_nano_8xb8-300e_coco.py``, of which the 15
class channels of voc-sample are kept.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lbwdet.compat  # noqa: F401  (before mmdet, which imports mmcv.ops)

# isort: split
import numpy as np
import torch
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.dataset import Compose

from lbwdet.checkpoints import read_checkpoint
from lbwdet.configs import load_config
from lbwdet.measuring.accuracy import evaluate
from lbwdet.measuring.candidates import Detections
from lbwdet.measuring.testset import TestSet, load_test_set
from lbwdet.training.build import build_model

DATA = Path(__file__).parents[1] / "configs" / "_base_" / "datasets" / "voc-sample.py"
IN_COCO = {"motorbike": "motorcycle"}  # other names are the same
BATCH = 14


def config() -> Config:
    cfg = load_config("mmdet::yolox/yolox_nano_8xb8-300e_coco.py")
    data = load_config(DATA)
    cfg.model.bbox_head.num_classes = len(data.metainfo.classes)
    cfg.model.test_cfg = dict(score_thr=0.01, nms=dict(type="nms", iou_threshold=0.65))
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(416, 416), keep_ratio=True),
        dict(type="Pad", pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0))),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(
            type="PackDetInputs",
            meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
        ),
    ]
    for split in ("train", "test"):
        loader = copy.deepcopy(data[f"{split}_dataloader"])
        loader.dataset.pipeline = pipeline
        loader.dataset.pop("filter_cfg", None)
        cfg[f"{split}_dataloader"] = loader
    return cfg


def float_model(cfg: Config, weights: str) -> torch.nn.Module:
    state, _ = read_checkpoint(weights)
    names = [IN_COCO.get(name, name) for name in cfg.test_dataloader.dataset.metainfo.classes]
    kept = [CocoDataset.METAINFO["classes"].index(name) for name in names]
    for key in state:
        if "multi_level_conv_cls" in key:
            state[key] = state[key][kept]
    model = build_model(cfg)
    model.load_state_dict(state)
    return model.eval()


def drawn(cfg: Config, number: int, draw: int) -> tuple[TestSet, list[int]]:
    """The photographs of ``trainval``, and which of them this draw takes."""
    train = copy.deepcopy(cfg)
    train.test_dataloader = train.train_dataloader
    images = load_test_set(train)
    random = np.random.RandomState(draw)
    return images, sorted(random.choice(len(images), number, replace=False).tolist())


def read(cfg: Config, images: TestSet, index: int) -> dict[str, Any]:
    steps = [s for s in cfg.test_dataloader.dataset.pipeline if s["type"] != "LoadAnnotations"]
    data: dict[str, Any] = Compose(steps)(
        dict(img_path=str(images.images[index].path), img_id=index)
    )
    return data


def forward(model: Any, data: list[dict[str, Any]]) -> Any:
    samples = [copy.deepcopy(each["data_samples"]) for each in data]
    return model.test_step(dict(inputs=[each["inputs"] for each in data], data_samples=samples))


def detections(model: Any, data: list[dict[str, Any]]) -> list[Detections]:
    with torch.no_grad():
        found = [result.pred_instances for result in forward(model, data)]
    return [
        Detections(each.bboxes.numpy(), each.scores.numpy(), each.labels.numpy()) for each in found
    ]


def mean_ap(test_set: TestSet, found: Sequence[Detections]) -> dict[str, float]:
    """In points."""
    accuracy = evaluate(found, [image.truth for image in test_set.images], test_set.classes)
    assert accuracy.map_11point is not None and accuracy.map_area is not None
    return dict(
        mAP_11point=round(100 * accuracy.map_11point, 2),
        mAP_area=round(100 * accuracy.map_area, 2),
    )


def score(
    cfg: Config, detect: Callable[[list[dict[str, Any]]], list[Detections]], batch: int = BATCH
) -> dict[str, float]:
    """mAP of what ``detect`` sees in all test photographs."""
    test_set = load_test_set(cfg)
    found: list[Detections] = []
    for start in range(0, len(test_set), batch):
        indices = range(start, min(start + batch, len(test_set)))
        found += detect([read(cfg, test_set, index) for index in indices])
    return mean_ap(test_set, found)
