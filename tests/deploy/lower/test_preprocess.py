import dataclasses

import pytest
import torch
from mmcv.transforms import Compose, LoadImageFromFile
from mmdet.datasets.transforms import Resize
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine.model import ImgDataPreprocessor

from lbwdet.deploy.lower.preprocess import read_preprocess
from lbwdet.deploy.runtime.context import Run
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.testing import random_image
from lbwdet.errors import ConfigError

LOAD, RESIZE, PACK = (
    dict(type="LoadImageFromFile"),
    dict(type="mmdet.Resize", scale=(320, 240), keep_ratio=True),
    dict(type="PackDetInputs", meta_keys=("img_id",)),
)
PAD = dict(type="Pad", pad_to_square=True, pad_val=114)
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def preprocessor(**changes):
    settings = dict(mean=MEAN, std=STD, bgr_to_rgb=True, pad_size_divisor=32) | changes
    return DetDataPreprocessor(**settings)


def test_everything_is_read():
    assert read_preprocess([LOAD, RESIZE, PACK], preprocessor()) == Preprocess(
        "input", (320, 240), True, tuple(MEAN), tuple(STD), to_rgb=True, size_divisor=32
    )
    flip = dict(type="RandomFlip", prob=0.0)
    stretched = dict(type="Resize", scale=(320, 240))
    plain = read_preprocess(
        [LOAD, stretched, dict(type="LoadAnnotations"), flip, PACK],
        preprocessor(mean=None, std=None, bgr_to_rgb=False, pad_size_divisor=1),
    )
    assert plain == Preprocess(
        "input", (320, 240), False, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), to_rgb=False, size_divisor=1
    )


def test_a_single_mean_goes_for_all_channels():
    operation = read_preprocess([LOAD, RESIZE, PACK], preprocessor(mean=[10.5], std=[2]))
    assert operation.mean == (10.5, 10.5, 10.5) and operation.std == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ([LOAD, PACK], "one Resize is needed, not 0"),
        ([LOAD, dict(PAD, size=(9, 9)), RESIZE, PACK], "one Pad can be lowered, after Resize"),
        ([LOAD, RESIZE, PAD, PAD, PACK], "one Pad can be lowered, after Resize"),
        ([LOAD, RESIZE, dict(type="Pad"), PACK], r"Pad\(\) cannot be lowered"),
        ([LOAD, RESIZE, dict(type="Pad", size_divisor=(32, 64))], r"size_divisor=\(32, 64\)"),
        ([LOAD, RESIZE, dict(type="Pad", size=(9, 9), size_divisor=32)], "size_divisor=32"),
        ([LOAD, RESIZE, dict(PAD, size=(9, 9))], r"size=\(9, 9\)\) cannot be lowered"),
        ([LOAD, RESIZE, dict(type="Pad", size=9)], "size=9"),
        ([LOAD, RESIZE, dict(PAD, padding_mode="edge")], "padding_mode='edge'"),
        ([LOAD, RESIZE, dict(PAD, pad_val=256)], "pad_val=256"),
        ([LOAD, RESIZE, dict(PAD, pad_val=dict(img=(114.5,) * 3))], "114.5"),
        # OpenCV takes a single number that is no integer for the first channel
        ([LOAD, RESIZE, dict(PAD, pad_val=dict(img=114.0))], "cannot be lowered"),
        ([LOAD, RESIZE, dict(type="RandomFlip", prob=0.5)], "RandomFlip cannot be lowered"),
        ([LOAD, dict(type="Resize", scale_factor=2.0)], r"Resize\(scale_factor=2.0\) cannot"),
        ([LOAD, dict(RESIZE, interpolation="bicubic")], "interpolation='bicubic'"),
        ([LOAD, dict(RESIZE, backend="tifffile")], "backend='tifffile'"),
        ([LOAD, dict(RESIZE, backend="pillow", keep_ratio=False)], "keeping the ratio, by Pillow"),
    ],
)
def test_pipelines_that_cannot_be_lowered(pipeline, message):
    with pytest.raises(ConfigError, match=message):
        read_preprocess(pipeline, preprocessor())


def test_preprocessors_that_cannot_be_lowered():
    with pytest.raises(ConfigError, match="ImgDataPreprocessor cannot be lowered"):
        read_preprocess([LOAD, RESIZE, PACK], ImgDataPreprocessor())


@pytest.mark.parametrize(
    ("pad", "scale"),
    [
        (dict(pad_to_square=True, pad_val=114), (320, 240)),
        (dict(pad_to_square=True, pad_val=dict(img=(114.0, 3.0, 250.0))), (100, 300)),
        (dict(size=(330, 250), pad_val=dict(img=7)), (320, 240)),
        (dict(size=(50, 400)), (320, 240)),  # less than there is already
        (dict(size_divisor=32, pad_val=dict(img=7)), (320, 240)),
        (dict(size_divisor=48, pad_to_square=True), (100, 300)),
    ],
)
@pytest.mark.parametrize("pad_value", [0, 1.25])
def test_pads_as_mmdetection_does(pad, scale, pad_value):
    image = random_image(0, 60, 90)
    pack = dict(PACK, meta_keys=("img_shape",))
    steps = [dict(RESIZE, scale=scale), dict(pad, type="Pad"), pack]
    steps = [dict(step, type=f"mmdet.{step['type'].rpartition('.')[2]}") for step in steps]
    data = Compose([dict(type="mmdet.LoadImageFromNDArray"), *steps])(dict(img=image))
    own = preprocessor(pad_value=pad_value)
    expected = own(dict(inputs=[data["inputs"]], data_samples=[data["data_samples"]]))
    operation = read_preprocess([LOAD, *steps], own)
    run = Run({}, {}, image)
    found = torch.from_numpy(operation.compute(run)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected["inputs"], atol=1e-5, rtol=1e-5)
    assert run.bounds == expected["data_samples"][0].img_shape


def test_as_pillow_resizes():
    pillow = read_preprocess([LOAD, dict(RESIZE, backend="pillow")], preprocessor())
    plain = read_preprocess([LOAD, RESIZE], preprocessor())
    assert pillow == dataclasses.replace(plain, antialias=True)


def test_steps_may_be_named_by_their_classes():
    classes = [dict(LOAD, type=LoadImageFromFile), dict(RESIZE, type=Resize), PACK]
    named = read_preprocess([LOAD, RESIZE, PACK], preprocessor())
    assert read_preprocess(classes, preprocessor()) == named
