"""Non-maximum suppression of region heads; the plain one is in heads/test_faster_rcnn.py."""

import pytest
from mmengine.config import ConfigDict

from lbwdet.deploy.lower import lower
from lbwdet.deploy.lower.settings import TestConfig
from lbwdet.deploy.lower.suppression import read_suppress
from lbwdet.errors import ConfigError


def read(score_thr=0.05, **nms):
    config = dict(nms=dict(type="soft_nms", **nms), max_per_img=7, score_thr=score_thr)
    return read_suppress(TestConfig("test_cfg.rcnn", config), "kept")


def test_soft_suppression_equals_mmdetections(whole, tiny, two_stage):
    model = two_stage()
    nms = dict(type="soft_nms", iou_threshold=0.2, min_score=0.01)
    model.roi_head.test_cfg = ConfigDict(dict(model.roi_head.test_cfg, nms=nms))
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)


def test_its_settings():
    soft = read(iou_threshold=0.5, split_thr=10)
    assert (soft.iou_threshold, soft.max_boxes, soft.group) == (0.5, 7, "class")
    assert (soft.method, soft.sigma, soft.min_score) == ("linear", 0.5, 1e-3)
    other = read(method="gaussian", sigma=0.3, min_score=0.02, class_agnostic=True)
    assert (other.method, other.sigma, other.min_score) == ("gaussian", 0.3, 0.02)
    assert (other.iou_threshold, other.group) == (0.3, "all")


@pytest.mark.parametrize("nms", [dict(offset=1), dict(method="other"), dict(max_num=5)])
def test_others_are_refused(nms):
    with pytest.raises(ConfigError, match="cannot be lowered; supported is dict"):
        read(**nms)


def test_scores_that_are_dropped_by_other_classes():
    with pytest.raises(ConfigError, match=r"score_thr=0 cannot be lowered with min_score=0\.001"):
        read(score_thr=0.0)
