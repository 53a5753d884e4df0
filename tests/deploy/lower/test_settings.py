import pytest
import torch
from mmdet.models.task_modules import (
    AnchorGenerator,
    DeltaXYWHBBoxCoder,
    LegacyAnchorGenerator,
)
from torch import nn

from lbwdet.deploy.lower.settings import (
    TestConfig as Settings,
)
from lbwdet.deploy.lower.settings import (
    check_exactly,
    check_type,
    four,
    one_of_pair,
    read_anchors,
    read_coder,
)
from lbwdet.deploy.runtime.coders import DeltaCoder
from lbwdet.errors import ConfigError


class Convolution(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) * 2


def test_types():
    check_type("conv", Convolution(3, 4, 1), nn.Conv2d, "reset_parameters")
    message = "conv Convolution cannot be lowered; supported is Conv2d with its own forward"
    with pytest.raises(ConfigError, match=message):
        check_type("conv", Convolution(3, 4, 1), nn.Conv2d, "forward")
    with pytest.raises(ConfigError, match=r"conv: Convolution cannot .*; supported is Conv2d"):
        check_exactly("conv", Convolution(3, 4, 1), nn.Conv2d)


def test_numbers():
    assert one_of_pair("size", (7, 7)) == 7 and four((1, 2, 3, 4)) == (1.0, 2.0, 3.0, 4.0)
    with pytest.raises(ConfigError, match=r"size=\(7, 5\) cannot be lowered; both sides"):
        one_of_pair("size", (7, 5))


def test_anchors():
    generator = AnchorGenerator(strides=[8, 16], ratios=[0.5, 1.0], scales=[4])
    anchors = read_anchors("head", generator)
    assert anchors.strides == (8, 16)
    torch.testing.assert_close(torch.tensor(anchors.boxes[1]), generator.base_anchors[1])
    legacy = LegacyAnchorGenerator(strides=[8], ratios=[1.0], scales=[4], center_offset=0.5)
    with pytest.raises(ConfigError, match="head: LegacyAnchorGenerator cannot be lowered"):
        read_anchors("head", legacy)


def test_coders():
    coder = DeltaXYWHBBoxCoder((0.0,) * 4, (0.1, 0.1, 0.2, 0.2), clip_border=False)
    assert read_coder("head", coder) == DeltaCoder((0.0,) * 4, (0.1, 0.1, 0.2, 0.2), 0.016, False)
    with pytest.raises(ConfigError, match="head: add_ctr_clamp=True cannot be lowered"):
        read_coder("head", DeltaXYWHBBoxCoder(add_ctr_clamp=True))


def test_test_settings():
    settings = Settings("test_cfg", dict(score_thr=0.05, nms_pre=1000, max_per_img=-1))
    assert settings.number("score_thr") == 0.05 and settings.number("min", -1) == -1
    assert settings.positive("nms_pre") == 1000
    for ask, message in (
        (lambda: settings.number("min"), "test_cfg.min is missing; give a number"),
        (lambda: settings.positive("max_per_img"), "test_cfg.max_per_img=-1 cannot be lowered"),
        (settings.nms_threshold, r"test_cfg.nms=\{\} cannot be lowered; supported is dict\(type="),
    ):
        with pytest.raises(ConfigError, match=message):
            ask()


@pytest.mark.parametrize("change", [dict(type="soft_nms"), dict(class_agnostic=True)])
def test_suppression(change):
    nms = dict(type="nms", iou_threshold=0.5)
    assert Settings("test_cfg", dict(nms=nms)).nms_threshold() == 0.5
    with pytest.raises(ConfigError, match="cannot be lowered"):
        Settings("test_cfg", dict(nms=nms | change)).nms_threshold()
