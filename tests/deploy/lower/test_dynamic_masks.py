"""QueryInst beside MMDetection."""

import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.masks import Masks
from lbwdet.errors import ConfigError
from tests.deploy.lower.conftest import MASK_EXTRACTOR
from tests.deploy.lower.heads.test_sparse_rcnn import BOXES, STAGES, place_boxes, sparse

MASK_HEAD = dict(
    type="DynamicMaskHead",
    dynamic_conv_cfg=dict(
        type="DynamicConv",
        in_channels=16,
        feat_channels=6,
        out_channels=16,
        input_feat_shape=14,
        with_proj=False,
        act_cfg=dict(type="ReLU", inplace=True),
        norm_cfg=dict(type="LN"),
    ),
    num_convs=1,
    num_classes=2,
    in_channels=16,
    conv_out_channels=16,
    norm_cfg=dict(type="BN"),
)


@pytest.fixture(scope="module")
def query_inst(two_stage):
    settings = sparse()
    settings["test_cfg"]["rcnn"]["max_per_img"] = BOXES  # with fewer MMDetection itself fails
    settings["roi_head"] |= dict(
        mask_roi_extractor=MASK_EXTRACTOR, mask_head=[MASK_HEAD for _ in range(STAGES)]
    )
    return place_boxes(two_stage("QueryInst", model=settings))


def test_equals_mmdetection(whole, tiny, query_inst):
    lowered = lower(query_inst, tiny.pipeline)
    whole.check(query_inst, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    operations = lowered.program.operations
    (masks,) = (operation for operation in operations if isinstance(operation, Masks))
    assert masks.candidates == "detections.candidates"
    layers = [layer for operation in operations for layer in operation.layers()]
    assert any("mask_head.1." in layer for layer in layers)
    assert not any("mask_head.0." in layer for layer in layers)


def test_boxes_alone(tiny, query_inst):
    assert not lower(query_inst, tiny.pipeline, boxes_only=True).program.has_masks


def test_masks_that_are_made_in_another_way(tiny, query_inst, monkeypatch):
    last = query_inst.roi_head.mask_head[-1]
    monkeypatch.setattr(last, "__class__", type("Other", (type(last),), {"forward": None}))
    with pytest.raises(ConfigError, match=r"mask_head\.1 Other cannot be lowered; .*--boxes-only"):
        lower(query_inst, tiny.pipeline)
