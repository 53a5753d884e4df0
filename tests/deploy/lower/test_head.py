import copy
from types import SimpleNamespace

import pytest

from lbwdet.deploy.lower.head import HEADS, RegionHead, head, head_of
from lbwdet.deploy.lower.heads.faster_rcnn import FasterRCNN
from lbwdet.deploy.lower.heads.rfcn import RFCN
from lbwdet.errors import ConfigError
from lbwdet.testing import tiny_config
from lbwdet.training.build import build_model


def test_the_nearest_registered_class_counts(tiny, tiny_rfcn):
    assert head_of(tiny.model) is FasterRCNN and head_of(tiny_rfcn.model) is RFCN
    assert issubclass(FasterRCNN, RegionHead) and not issubclass(RFCN, RegionHead)
    model = copy.copy(tiny.model)
    own = type("OwnRoIHead", (type(model.roi_head),), {})
    model._modules = dict(model._modules, roi_head=copy.copy(model.roi_head))
    model.roi_head.__class__ = own
    assert head_of(model) is FasterRCNN


def test_others_are_refused_by_name(monkeypatch):
    model = build_model(tiny_config("unused", "unused", model="retinanet_r50_fpn"))
    monkeypatch.delitem(HEADS, "AnchorHead")
    with pytest.raises(ConfigError) as raised:
        head_of(model)
    assert str(raised.value) == (
        "RetinaNet with RetinaHead cannot be lowered; heads that can be are "
        f"{', '.join(sorted(HEADS))}"
    )
    with pytest.raises(ConfigError, match="SimpleNamespace cannot be lowered"):
        head_of(SimpleNamespace())


def test_a_detector_around_the_head_that_does_other_things(tiny):
    model = copy.copy(tiny.model)
    model.__class__ = type("OwnRCNN", (type(model),), {})
    with pytest.raises(ConfigError) as raised:
        head_of(model)
    assert str(raised.value) == (
        "OwnRCNN with StandardRoIHead cannot be lowered; StandardRoIHead can be in "
        f"{' or '.join(FasterRCNN.detectors)}"
    )


def test_a_name_is_taken_once():
    with pytest.raises(TypeError, match=r"a head StandardRoIHead already, in .*faster_rcnn"):
        head("StandardRoIHead", ["FasterRCNN"])(RFCN)
