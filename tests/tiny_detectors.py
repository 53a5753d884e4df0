"""Fixtures of several rooms: a tiny VOC data set and tiny detectors with random weights."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from lbwdet.comparison.specs import ModelSpec
from lbwdet.export import ExportSettings, export
from lbwdet.measuring.detectors import build_detector
from lbwdet.testing import tiny_config, write_tiny_voc

# A name that would break a page which does not escape it.
CLASSES = ("cat", "</script><img src=x onerror=alert(1)>", "never seen")

CONFIG = """
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'
default_scope = 'mmdet'
custom_imports = dict(imports=['lbwdet.models', 'lbwdet.datasets'])
model = dict(
    backbone=dict(depth=18, base_channels=4, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[4, 8, 16, 32], out_channels=8),
    rpn_head=dict(in_channels=8, feat_channels=8),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=8),
        bbox_head=dict(in_channels=8, fc_out_channels=16, num_classes={num_classes})),
    test_cfg=dict(rpn=dict(nms_pre=50, max_per_img=20), rcnn=dict(score_thr=0.05)))
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='LBWVOCDataset',
        data_root={root!r},
        metainfo=dict(classes={classes!r}),
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(96, 64), keep_ratio=True),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='PackDetInputs',
                 meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]))
custom_hooks = {hooks!r}
"""
SIX_BIT = [dict(type="QuantizeHook", quant=dict(weight=dict(bit_width=6)))]


def write_config(
    path: Path, root: Path, classes: tuple[str, ...] = CLASSES, hooks: list | None = None
) -> str:
    text = CONFIG.format(
        root=f"{root}/", classes=classes, num_classes=len(classes), hooks=hooks or []
    )
    path.write_text(text)
    return str(path)


@pytest.fixture(scope="session")
def voc_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of 120x80 pixels, two boxes each, one of them difficult."""
    root = tmp_path_factory.mktemp("tiny_voc")
    folder = root / "VOC2007"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    generator = np.random.default_rng(0)
    names = ["000001", "000002", "000003"]
    for index, name in enumerate(names):
        image = generator.integers(0, 256, (80, 120, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "JPEGImages" / f"{name}.jpg"), image)
        objects = "".join(
            f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox>"
            f"<xmin>{x}</xmin><ymin>10</ymin><xmax>{x + 40}</xmax><ymax>50</ymax>"
            "</bndbox></object>"
            for label, difficult, x in (
                ("cat", 0, 5),
                (CLASSES[1].replace("<", "&lt;"), int(index == 2), 60),
            )
        )
        (folder / "Annotations" / f"{name}.xml").write_text(
            "<annotation><size><width>120</width><height>80</height><depth>3</depth></size>"
            f"{objects}</annotation>"
        )
    (folder / "ImageSets/Main/test.txt").write_text("\n".join(names) + "\n")
    return root


@pytest.fixture(scope="session")
def tiny(voc_root: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Paths of a float and a 6-bit config and of a checkpoint with random weights."""
    folder = tmp_path_factory.mktemp("tiny_model")
    float_config = write_config(folder / "float.py", voc_root)
    six_bit_config = write_config(folder / "6bit.py", voc_root, hooks=SIX_BIT)
    torch.manual_seed(0)
    model = build_detector(Config.fromfile(float_config))
    checkpoint = folder / "epoch_1.pth"
    meta = dict(dataset_meta=dict(classes=CLASSES))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), checkpoint)
    return SimpleNamespace(
        folder=folder,
        root=voc_root,
        float_config=float_config,
        six_bit_config=six_bit_config,
        checkpoint=str(checkpoint),
        specs=[
            ModelSpec('float "<i>', float_config, str(checkpoint)),
            ModelSpec("6bit $x_1", six_bit_config, str(checkpoint)),
        ],
    )


@pytest.fixture(scope="session")
def float_detector(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A float config with data to train and test on, and a checkpoint with random weights."""
    folder = tmp_path_factory.mktemp("float_detector")
    root = write_tiny_voc(folder / "data", num_trainval=3, num_test=2)
    config = tiny_config(root, folder / "run", model="retinanet_r50_fpn")
    config.dump(folder / "retinanet.py")
    torch.manual_seed(0)
    checkpoint = folder / "float.pth"
    model = build_detector(config)
    torch.save(dict(state_dict=model.state_dict()), checkpoint)
    return SimpleNamespace(
        folder=folder, config=str(folder / "retinanet.py"), checkpoint=str(checkpoint)
    )


@pytest.fixture(scope="session")
def artifact(tiny: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny 6-bit detector, deployed."""
    path = tmp_path_factory.mktemp("artifact") / "6bit.lbw"
    settings = ExportSettings("test", num=3, method="minmax")
    export(tiny.six_bit_config, tiny.checkpoint, path, settings)
    return path
