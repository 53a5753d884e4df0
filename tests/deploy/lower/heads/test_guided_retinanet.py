import numpy as np
import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.coders import DeltaCoder, TwiceCoder

STRIDES = [8, 16, 32, 64, 128]


@pytest.fixture(scope="module")
def guided(one_stage):
    model = one_stage(
        {"train_cfg": None},
        type="GARetinaHead",
        feat_channels=16,
        stacked_convs=1,
        approx_anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=4,
            scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
            strides=STRIDES,
        ),
        square_anchor_generator=dict(
            type="AnchorGenerator", ratios=[1.0], scales=[4], strides=STRIDES
        ),
        anchor_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4),
        bbox_coder=dict(
            type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]
        ),
        loc_filter_thr=0.45,
        loss_bbox=dict(type="SmoothL1Loss"),
    )
    model.bbox_head.conv_shape.weight.data.mul_(0.3)  # sides are exponentials
    return model


def test_equals_mmdetection_and_runs_in_integers(whole, tiny, guided):
    lowered = lower(guided, tiny.pipeline)
    whole.check(guided, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    kinds = [type(operation).__name__ for operation in lowered.program.operations]
    # Sides of anchors are boxes', and features that offsets are made of.
    assert kinds.count("Quantize") == kinds.count("Mix") == 5
    assert kinds.count("DeformedSamples") == 10
    candidates = lowered.program.operations[-4]
    assert isinstance(candidates.coder, TwiceCoder) and candidates.unweighted
    assert candidates.coder.first == DeltaCoder((0.0,) * 4, (1.0,) * 4, 1e-6, clip=False)
    assert np.float32(0.45) > np.float32(candidates.factor_threshold) > np.float32(0.4499999)


def test_the_best_anchors_of_a_level_survive(whole, tiny, guided, monkeypatch):
    monkeypatch.setitem(guided.bbox_head.test_cfg, "nms_pre", 12)
    whole.check(guided, tiny.pipeline, lower(guided, tiny.pipeline), tiny.image)
