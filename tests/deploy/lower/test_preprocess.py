import pytest
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine.model import ImgDataPreprocessor

from lbwdet.deploy.lower.preprocess import read_preprocess
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.errors import ConfigError

LOAD, RESIZE, PACK = (
    dict(type="LoadImageFromFile"),
    dict(type="mmdet.Resize", scale=(320, 240), keep_ratio=True),
    dict(type="PackDetInputs", meta_keys=("img_id",)),
)
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
        ([LOAD, RESIZE, dict(type="Pad", size=(9, 9)), PACK], "test pipeline: Pad cannot"),
        ([LOAD, RESIZE, dict(type="RandomFlip", prob=0.5)], "RandomFlip cannot be lowered"),
        ([LOAD, dict(type="Resize", scale_factor=2.0)], r"Resize\(scale_factor=2.0\) cannot"),
        ([LOAD, dict(RESIZE, interpolation="bicubic")], "interpolation='bicubic'"),
        ([LOAD, dict(RESIZE, backend="pillow")], "backend='pillow'"),
    ],
)
def test_pipelines_that_cannot_be_lowered(pipeline, message):
    with pytest.raises(ConfigError, match=message):
        read_preprocess(pipeline, preprocessor())


def test_preprocessors_that_cannot_be_lowered():
    with pytest.raises(ConfigError, match="ImgDataPreprocessor cannot be lowered"):
        read_preprocess([LOAD, RESIZE, PACK], ImgDataPreprocessor())
    with pytest.raises(ConfigError, match=r"pad_value=114 cannot"):
        read_preprocess([LOAD, RESIZE, PACK], preprocessor(pad_value=114))
