from types import SimpleNamespace

import pytest

from lbwdet.deploy.lower.heads.detr import Detr
from lbwdet.deploy.lower.queries import read_queries
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.errors import ConfigError


def model(divisor=1, use_sigmoid=True, **test_cfg):
    return SimpleNamespace(
        num_queries=9,
        data_preprocessor=SimpleNamespace(pad_size_divisor=divisor),
        bbox_head=SimpleNamespace(
            num_classes=3, loss_cls=SimpleNamespace(use_sigmoid=use_sigmoid), test_cfg=test_cfg
        ),
    )


def test_what_a_config_says_of_queries():
    found = read_queries(model(max_per_img=5))
    assert (found.num_classes, found.max_boxes, found.activation) == (3, 5, "sigmoid")
    found = read_queries(model(use_sigmoid=False))
    assert (found.max_boxes, found.activation) == (9, "softmax")


def test_the_operations_behind_them():
    added = []
    program = SimpleNamespace(add=lambda *operations: added.extend(operations))
    head = Detr.__new__(Detr)
    head._candidates = read_queries(model())
    head.add_to(program, ("scores", "boxes"))
    first, *_, last = added
    assert (first.scores, first.boxes) == ("scores", "boxes")
    assert isinstance(last, Detections) and last.num_classes == 3


def test_padded_images_are_refused():
    with pytest.raises(ConfigError, match="pad_size_divisor=32 cannot be lowered"):
        read_queries(model(divisor=32))
