from types import SimpleNamespace

import pytest
import torch
from mmdet.models.task_modules import AnchorGenerator, DeltaXYWHBBoxCoder, TBLRBBoxCoder

from lbwdet.deploy.lower.guided_anchors import JOINED, Guided
from lbwdet.deploy.lower.mixing import Mixing
from lbwdet.deploy.lower.settings import TestConfig
from lbwdet.errors import ConfigError


def head(**changes):
    settings = dict(
        square_anchor_generator=AnchorGenerator(strides=[8, 16], ratios=[1.0], scales=[4]),
        anchor_coder=DeltaXYWHBBoxCoder(target_stds=(0.07, 0.07, 0.14, 0.14)),
        bbox_coder=DeltaXYWHBBoxCoder(target_stds=(0.1, 0.1, 0.2, 0.2)),
        loc_filter_thr=0.01,
    )
    return SimpleNamespace(**{**settings, **changes})


def test_settings():
    guided = Guided("head", head())
    assert guided.priors.strides == (8, 16)
    assert guided.coder.first.stds == (0.07, 0.07, 0.14, 0.14) and not guided.coder.first.clip
    assert guided.coder.second.stds == (0.1, 0.1, 0.2, 0.2) and guided.coder.clip


def test_the_place_of_an_anchor_stays():
    sides, numbers = torch.full((1, 2, 1, 1), 7.0), torch.arange(4.0).reshape(1, 4, 1, 1)
    found = Mixing(JOINED)(sides, numbers).flatten().tolist()
    assert found == [0, 0, 7, 7, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(square_anchor_generator=AnchorGenerator([8], [0.5, 1.0], [4])),
            "several squares at a place cannot be lowered",
        ),
        (dict(anchor_coder=TBLRBBoxCoder()), "head.anchor_coder: TBLRBBoxCoder cannot be lowered"),
        (dict(bbox_coder=TBLRBBoxCoder()), "head.bbox_coder cannot be lowered"),
    ],
)
def test_what_no_operation_has_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Guided("head", head(**changes))


@pytest.mark.parametrize("more", [dict(nms_post=20), dict(nms_post=99, nms_across_levels=True)])
def test_fewer_of_a_level_than_of_all_are_refused(more):
    Guided.check(TestConfig("test_cfg", dict(nms_post=50)), 50)
    with pytest.raises(ConfigError, match=r"test_cfg: nms_post=.. below max_per_img=50"):
        Guided.check(TestConfig("test_cfg", more), 50)
