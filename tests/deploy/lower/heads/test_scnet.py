"""SCNet beside MMDetection."""

import pytest

from lbwdet.deploy.lower import lower
from lbwdet.errors import ConfigError
from tests.deploy.lower.heads.test_htc import extractor

CHANNELS = dict(in_channels=16, conv_out_channels=16)


def scnet():
    """What is added to a cascade: masks, a semantic map, the whole image's context, a relay."""
    return dict(
        type="SCNetRoIHead",
        mask_roi_extractor=extractor(14, [4, 8, 16, 32]),
        mask_head=dict(type="SCNetMaskHead", num_convs=2, num_classes=2, **CHANNELS),
        semantic_roi_extractor=extractor(14, [8]),
        semantic_head=dict(
            type="SCNetSemanticHead",
            num_ins=5,
            fusion_level=1,
            num_convs=2,
            num_classes=3,
            **CHANNELS,
        ),
        glbctx_head=dict(
            type="GlobalContextHead", num_convs=2, num_classes=2, conv_to_res=True, **CHANNELS
        ),
        feat_relay_head=dict(type="FeatureRelayHead", in_channels=32, out_conv_channels=16),
    )


@pytest.fixture
def build(two_stage, cascade):
    def build(**changes):
        settings = cascade(reg_class_agnostic=True) | scnet() | changes
        for box_head in settings["bbox_head"]:
            box_head |= dict(type="SCNetBBoxHead", num_shared_fcs=2)
        built = two_stage("SCNet", settings)
        built.roi_head.test_cfg.mask_thr_binary = 0.5
        return built

    return build


def test_equals_mmdetection(whole, tiny, build):
    model = build()
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    names = [type(operation).__name__ for operation in lowered.program.operations]
    assert names.count("RoIAlign") == 2 * 5 and names.count("Masks") == 1
    assert names.count("DepthToSpace") == 2  # the relayed features, and the masks' upsampling
    assert not any("conv_logits" in layer for layer in lowered.weights if "semantic" in layer)


@pytest.mark.parametrize(
    "changes",
    [
        dict(glbctx_head=None),
        dict(glbctx_head=None, semantic_head=None, semantic_roi_extractor=None),
    ],
    ids=["no-context", "neither"],
)
def test_without_some_of_it(whole, tiny, build, changes):
    model = build(**changes)
    whole.check(model, tiny.pipeline, lower(model, tiny.pipeline), tiny.image)


def test_boxes_alone(whole, tiny, build):
    lowered = lower(build(), tiny.pipeline, boxes_only=True)
    assert not lowered.program.has_masks
    assert not any("feat_relay_head" in layer for layer in lowered.weights)


def test_context_without_a_semantic_map_is_refused(tiny, build):
    model = build(semantic_head=None, semantic_roi_extractor=None)
    with pytest.raises(ConfigError, match="glbctx_head cannot be lowered without a semantic"):
        lower(model, tiny.pipeline)
