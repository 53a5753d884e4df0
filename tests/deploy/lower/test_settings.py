import pytest
import torch
from mmdet.models.task_modules import (
    AnchorGenerator,
    DeltaXYWHBBoxCoder,
    DistancePointBBoxCoder,
    LegacyAnchorGenerator,
    LegacyDeltaXYWHBBoxCoder,
    MlvlPointGenerator,
    TBLRBBoxCoder,
)
from torch import nn

from lbwdet.deploy.lower.settings import (
    Priors,
    check_exactly,
    check_type,
    four,
    one_of_pair,
    read_anchors,
    read_coder,
    read_distance_coder,
    read_points,
)
from lbwdet.deploy.lower.settings import (
    TestConfig as Settings,
)
from lbwdet.deploy.runtime.coders import DeltaCoder, DistanceCoder
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
    assert read_anchors("head", legacy).boxes == (((-12.0, -12.0, 19.0, 19.0),),)
    other = type("Other", (AnchorGenerator,), {"grid_priors": None})
    legacy.__class__ = other
    with pytest.raises(ConfigError, match="head Other cannot be lowered; supported is AnchorGen"):
        read_anchors("head", legacy)


def test_points():
    points = read_points("head", MlvlPointGenerator([8, 16], offset=0.5))
    assert points == Priors((8, 16), (((4.0,) * 4,), ((8.0,) * 4,)))
    squares = points.with_sides((16, 2.5))
    assert squares.boxes == (((-4.0, -4.0, 12.0, 12.0),), ((6.75, 6.75, 9.25, 9.25),))
    with pytest.raises(ConfigError, match=r"head: AnchorGenerator .* supported is MlvlPoint"):
        read_points("head", AnchorGenerator(strides=[8], ratios=[1.0], scales=[4]))


def test_coders():
    coder = DeltaXYWHBBoxCoder((0.0,) * 4, (0.1, 0.1, 0.2, 0.2), clip_border=False)
    assert read_coder("head", coder) == DeltaCoder((0.0,) * 4, (0.1, 0.1, 0.2, 0.2), 0.016, False)
    clamped = read_coder("head", DeltaXYWHBBoxCoder(add_ctr_clamp=True, ctr_clamp=16))
    assert clamped.max_shift == 16
    assert read_coder("head", LegacyDeltaXYWHBBoxCoder()).end_pixels
    sides = read_coder("head", TBLRBBoxCoder(normalizer=2.0, clip_border=False))
    assert sides == DistanceCoder(2.0, False, of_prior=True, vertical_first=True)
    with pytest.raises(ConfigError, match=r"head: normalizer=\[1, 2, 3, 4\] cannot be lowered"):
        read_coder("head", TBLRBBoxCoder(normalizer=[1, 2, 3, 4]))
    with pytest.raises(ConfigError, match="head: DistancePointBBoxCoder cannot be lowered"):
        read_coder("head", DistancePointBBoxCoder())
    assert read_distance_coder("head", DistancePointBBoxCoder()) == DistanceCoder()
    with pytest.raises(ConfigError, match=r"head: TBLRBBoxCoder .* supported is DistancePoint"):
        read_distance_coder("head", TBLRBBoxCoder())


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
