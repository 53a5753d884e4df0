"""Hybrid Task Cascade beside MMDetection."""

import pytest

from lbwdet.deploy.lower import lower
from lbwdet.errors import ConfigError

MASK_HEAD = dict(
    type="HTCMaskHead", num_convs=1, in_channels=16, conv_out_channels=16, num_classes=2
)


def extractor(size, strides):
    layer = dict(type="RoIAlign", output_size=size, sampling_ratio=0)
    return dict(
        type="SingleRoIExtractor", roi_layer=layer, out_channels=16, featmap_strides=strides
    )


def hybrid(size=14):
    """What is added to a cascade: masks, each of which sees those before, and a semantic map."""
    first = dict(MASK_HEAD, with_conv_res=False)
    return dict(
        type="HybridTaskCascadeRoIHead",
        interleaved=True,
        mask_info_flow=True,
        mask_roi_extractor=extractor(14, [4, 8, 16, 32]),
        mask_head=[first, MASK_HEAD, MASK_HEAD],
        semantic_roi_extractor=extractor(size, [8]),
        semantic_head=dict(
            type="FusedSemanticHead",
            num_ins=5,
            fusion_level=1,
            num_convs=1,
            in_channels=16,
            conv_out_channels=16,
            num_classes=3,
        ),
    )


@pytest.fixture
def build(two_stage, cascade):
    def build(size=14, **changes):
        settings = cascade(reg_class_agnostic=True) | hybrid(size) | changes
        built = two_stage("HybridTaskCascade", settings)
        built.roi_head.test_cfg.mask_thr_binary = 0.5
        return built

    return build


def test_equals_mmdetection(whole, tiny, build):
    model = build()
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    names = [type(operation).__name__ for operation in lowered.program.operations]
    assert names.count("RoIAlign") == 2 * 4 and names.count("Masks") == 1
    assert not any("semantic_head.conv_logits" in layer for layer in lowered.weights)


@pytest.mark.parametrize(
    "changes",
    [
        dict(semantic_fusion=("mask",)),
        dict(semantic_fusion=("bbox",)),
        dict(semantic_head=None, semantic_roi_extractor=None),
    ],
)
def test_without_some_of_it(whole, tiny, build, changes):
    model = build(**changes)
    whole.check(model, tiny.pipeline, lower(model, tiny.pipeline), tiny.image)


def test_boxes_alone(whole, tiny, build):
    lowered = lower(build(), tiny.pipeline, boxes_only=True)
    assert not lowered.program.has_masks


def test_semantic_features_of_another_size(tiny, build):
    with pytest.raises(ConfigError, match="features of 10 pixels cannot be lowered for a head of"):
        lower(build(size=10), tiny.pipeline)


def test_masks_that_do_not_see_those_before(tiny, build):
    with pytest.raises(ConfigError, match="mask_info_flow=False cannot be lowered; give True"):
        lower(build(mask_info_flow=False), tiny.pipeline)
