"""Helpers for tests: a detection data set and detectors so small that a run takes seconds.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     root = write_tiny_voc(f"{folder}/data", num_trainval=2, num_test=1)
...     sorted(path.name for path in (root / "VOC2007" / "JPEGImages").iterdir())
['000000.jpg', '000001.jpg', '000002.jpg']
"""

import copy
import functools
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config

TINY_CLASSES = ("red", "green")

_COLOURS = {"red": (40, 40, 220), "green": (60, 200, 60)}  # blue, green, red
_SMALL_NECK = dict(in_channels=[8, 16, 32, 64], out_channels=16)
_SMALL_MODELS: dict[str, dict[str, Any]] = {
    "faster-rcnn_r50_fpn": dict(
        neck=_SMALL_NECK,
        rpn_head=dict(in_channels=16, feat_channels=16),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=16),
            bbox_head=dict(in_channels=16, fc_out_channels=32, num_classes=len(TINY_CLASSES)),
        ),
        train_cfg=dict(rpn_proposal=dict(nms_pre=50, max_per_img=20)),
        test_cfg=dict(rpn=dict(nms_pre=50, max_per_img=20)),
    ),
    "retinanet_r50_fpn": dict(
        neck=_SMALL_NECK,
        bbox_head=dict(
            in_channels=16, feat_channels=16, stacked_convs=1, num_classes=len(TINY_CLASSES)
        ),
    ),
}
_run_number = itertools.count()


def write_tiny_voc(
    root: str | os.PathLike[str],
    num_trainval: int = 4,
    num_test: int = 2,
    size: int = 64,
    seed: int = 0,
) -> Path:
    """Writes square images of coloured boxes in the layout of PASCAL VOC 2007.

    Args:
        root: the data root to be, parent of ``VOC2007``.
        num_trainval, num_test: images of each split, numbered through from zero.
        size: side of the images in pixels, 32 at least.

    Returns:
        ``root`` as a path.
    """
    random = np.random.default_rng(seed)
    folder = Path(root) / "VOC2007"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    names = [f"{number:06d}" for number in range(num_trainval + num_test)]
    for name in names:
        image = random.integers(90, 130, (size, size, 3), dtype=np.uint8)
        objects = ""
        for label in TINY_CLASSES:
            side = int(random.integers(size // 4, size // 2))
            left, top = (int(value) for value in random.integers(1, size - side, 2))
            image[top : top + side, left : left + side] = _COLOURS[label]
            objects += (
                f"<object><name>{label}</name><difficult>0</difficult><bndbox>"
                f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
                f"<xmax>{left + side}</xmax><ymax>{top + side}</ymax></bndbox></object>"
            )
        cv2.imwrite(str(folder / "JPEGImages" / f"{name}.jpg"), image)
        (folder / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.jpg</filename><size><width>{size}</width>"
            f"<height>{size}</height><depth>3</depth></size>{objects}</annotation>\n"
        )
    for split, part in (("trainval", names[:num_trainval]), ("test", names[num_trainval:])):
        lines = "".join(f"{name}\n" for name in part)
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(lines)
    return Path(root)


def tiny_config(
    data_root: str | os.PathLike[str],
    work_dir: str | os.PathLike[str],
    model: str = "faster-rcnn_r50_fpn",
    quant: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Config:
    """The config of a detector with a ResNet-18 of 8 to 64 channels on such a data set.

    Everything is trained from random weights, without workers, on the CPU; an
    iteration of two images takes about 0.1 s. ``Runner.from_cfg(config).train()``
    runs one epoch and one evaluation.

    Args:
        data_root: a root written by :func:`write_tiny_voc`.
        work_dir: folder of logs and checkpoints.
        model: name of one of MMDetection's ``_base_/models``:
            ``'faster-rcnn_r50_fpn'`` or ``'retinanet_r50_fpn'``.
        quant: settings of an ``LBWDetector``, if the model is to be quantized; with
            activation settings an ``ActivationHook`` comes along.
        changes: dotted config keys and their values, merged in at the end.
    """
    config = copy.deepcopy(_base_config(model))
    backbone = dict(
        depth=18, base_channels=8, frozen_stages=-1, norm_eval=False, style="pytorch", init_cfg=None
    )
    config.merge_from_dict(dict(model=dict(backbone=backbone, **_SMALL_MODELS[model])))
    # MMEngine keeps loggers and visualizers by name as long as the process lives.
    name = f"tiny-{os.getpid()}-{next(_run_number)}"
    loader = _dataloader(Path(data_root), "trainval", batch_size=2)
    test_loader = _dataloader(Path(data_root), "test", batch_size=1)
    evaluator = dict(type="VOCMetric", metric="mAP", eval_mode="11points")
    config.merge_from_dict(
        dict(
            work_dir=str(work_dir),
            experiment_name=name,
            visualizer=dict(name=name),
            train_dataloader=loader,
            val_dataloader=test_loader,
            test_dataloader=test_loader,
            val_evaluator=evaluator,
            test_evaluator=evaluator,
            train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=1, val_interval=1),
            val_cfg=dict(type="ValLoop"),
            test_cfg=dict(type="TestLoop"),
            optim_wrapper=dict(
                type="OptimWrapper",
                optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001),
                clip_grad=dict(max_norm=10),
            ),
            default_hooks=dict(logger=dict(interval=1)),
            custom_hooks=[dict(type="ActivationHook")] if "activation" in (quant or {}) else [],
            env_cfg=dict(dist_cfg=dict(backend="gloo")),
            randomness=dict(seed=0),
            log_level="WARNING",
        )
    )
    if quant is not None:
        detector = config.model.type
        config.model.update(type="LBWDetector", detector=detector, quant=dict(quant))
    config.merge_from_dict(dict(changes or {}))
    return config


@functools.cache  # finding MMDetection's files takes a second
def _base_config(model: str) -> Config:
    return Config.fromstring(
        f"_base_ = ['mmdet::_base_/models/{model}.py', 'mmdet::_base_/default_runtime.py']\n"
        "custom_imports = dict(imports=['lbwdet.models', 'lbwdet.training'])\n",
        ".py",
    )


def _dataloader(root: Path, split: str, batch_size: int) -> dict[str, Any]:
    train = split == "trainval"
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(type="Resize", scale_factor=1.0),  # detectors want to know the scale factor
        dict(type="RandomFlip", prob=0.5 if train else 0.0),
        dict(type="PackDetInputs"),
    ]
    return dict(
        batch_size=batch_size,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=train),
        dataset=dict(
            type="VOCDataset",
            metainfo=dict(classes=TINY_CLASSES),
            data_root=str(root),
            ann_file=f"VOC2007/ImageSets/Main/{split}.txt",
            data_prefix=dict(sub_data_root="VOC2007/"),
            test_mode=not train,
            pipeline=pipeline,
        ),
    )
