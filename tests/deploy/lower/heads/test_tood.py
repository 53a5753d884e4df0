"""TOOD beside MMDetection."""

import pytest

from lbwdet.deploy.lower import lower
from lbwdet.errors import ConfigError


@pytest.fixture
def build(one_stage):
    def build(**changes):
        anchors = dict(
            type="AnchorGenerator",
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=[8, 16, 32, 64, 128],
        )
        settings = dict(
            type="TOODHead",
            feat_channels=16,
            stacked_convs=2,
            anchor_generator=anchors,
            norm_cfg=dict(type="GN", num_groups=4, requires_grad=True),
            loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, activated=True),
            loss_bbox=dict(type="GIoULoss"),
        )
        model = {"detector": "TOOD", "train_cfg": None}
        return one_stage(model, **settings | changes)

    return build


@pytest.mark.parametrize("anchor_type", ["anchor_free", "anchor_based"])
def test_equals_mmdetection_and_runs_in_integers(whole, tiny, build, anchor_type):
    model = build(anchor_type=anchor_type)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    kinds = [type(operation).__name__ for operation in lowered.program.operations]
    assert kinds.count("SampledBoxes") == 5
    candidates = lowered.program.operations[-4]
    assert candidates.root and candidates.factor_first


def test_layers_of_deformable_convolutions(whole, tiny, build):
    model = build(num_dcn=1)
    whole.check(model, tiny.pipeline, lower(model, tiny.pipeline), tiny.image)


def test_what_cannot_be_lowered_is_named(tiny, build):
    anchors = dict(
        type="AnchorGenerator", ratios=[1.0, 2.0], scales=[8], strides=[8, 16, 32, 64, 128]
    )
    with pytest.raises(ConfigError, match=r"\[2, 2, 2, 2, 2\] anchors of a pixel"):
        lower(build(anchor_generator=anchors), tiny.pipeline)
    with pytest.raises(ConfigError, match=r"norm_cfg=None cannot be lowered"):
        lower(build(norm_cfg=None), tiny.pipeline)
