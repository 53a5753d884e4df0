import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.errors import ConfigError


@pytest.fixture(scope="module")
def gfl(one_stage):
    return one_stage(
        {"detector": "GFL"},
        type="GFLHead",
        feat_channels=16,
        stacked_convs=1,
        reg_max=6,
        norm_cfg=dict(type="BN"),
        anchor_generator=dict(
            type="AnchorGenerator",
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=[8, 16, 32, 64, 128],
        ),
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0),
    )


def test_equals_mmdetection_and_runs_in_integers(whole, tiny, gfl):
    lowered = lower(gfl, tiny.pipeline)
    whole.check(gfl, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    candidates = lowered.program.operations[-4]
    assert candidates.coder == DistanceCoder(bins=7, of_prior=True) and candidates.factors == ()
    # Distances are in units of the stride, however large the anchor is.
    assert candidates.base_anchors[:2] == (((-4.0, -4.0, 4.0, 4.0),), ((-8.0, -8.0, 8.0, 8.0),))


def test_deltas_are_no_distances(tiny, gfl, monkeypatch):
    monkeypatch.setattr(gfl.bbox_head, "bbox_coder", object())
    with pytest.raises(ConfigError, match=r"bbox_coder: object .* DistancePointBBoxCoder"):
        lower(gfl, tiny.pipeline)
