"""GRoIE's regions beside MMDetection."""

import pytest
import torch

from lbwdet.deploy.lower import lower
from lbwdet.errors import ConfigError

POST = dict(
    type="GeneralizedAttention",
    in_channels=16,
    spatial_range=-1,
    num_heads=3,
    attention_type="0100",
    kv_stride=2,
)


def extractor(size, **changes):
    settings = dict(
        type="GenericRoIExtractor",
        aggregation="sum",
        roi_layer=dict(type="RoIAlign", output_size=size, sampling_ratio=2),
        out_channels=16,
        featmap_strides=[4, 8, 16, 32],
        pre_cfg=dict(
            type="ConvModule",
            in_channels=16,
            out_channels=16,
            kernel_size=5,
            padding=2,
            inplace=False,
        ),
        post_cfg=POST,
    )
    return settings | changes


@pytest.fixture(scope="module")
def build(two_stage):
    def build(detector="FasterRCNN", mask=None, **changes):
        settings = dict(bbox_roi_extractor=dict(extractor(7, **changes), _delete_=True))
        roi_head = {} if mask is None else dict(mask_roi_extractor=extractor(14, **changes))
        model = two_stage(detector, roi_head, dict(roi_head=settings), mask)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("post_module.gamma"):
                    parameter.fill_(0.7)  # 0 at the beginning of training
        return model

    return build


def test_equals_mmdetection(whole, tiny, build):
    model = build()
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    names = [type(operation).__name__ for operation in lowered.program.operations]
    assert names.count("RoIAlign") == 4 and names.count("PlaceAttention") == 1
    assert "roi_features" in {operation.written for operation in lowered.program.operations}
    layers = [name for name in lowered.weights if "bbox_roi_extractor.pre_module" in name]
    assert len(layers) == 1  # the same for every level


def test_masks(whole, tiny, build):
    model = build("MaskRCNN", mask={})
    whole.check(model, tiny.pipeline, lower(model, tiny.pipeline), tiny.image)


def test_sums_alone(whole, tiny, build):
    model = build(pre_cfg=None, post_cfg=None)
    whole.check(model, tiny.pipeline, lower(model, tiny.pipeline), tiny.image)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(aggregation="concat"), "aggregation='concat' cannot be lowered; supported is 'sum'"),
        (dict(post_cfg=dict(POST, attention_type="1100")), "attention_type='1100', spatial_range"),
        (dict(post_cfg=dict(POST, q_stride=2)), "q_stride=2 cannot be lowered"),
    ],
)
def test_others_are_refused(tiny, build, changes, message):
    with pytest.raises(ConfigError, match=message):
        lower(build(**changes), tiny.pipeline)
