import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.coders import DeltaCoder

ANCHORS = dict(
    type="AnchorGenerator",
    ratios=[1.0],
    octave_base_scale=8,
    scales_per_octave=1,
    strides=[8, 16, 32, 64, 128],
)


@pytest.mark.parametrize(("kind", "deformable"), [("ATSS", 0), ("DDOD", 0), ("DDOD", 10)])
def test_equals_mmdetection_and_runs_in_integers(whole, tiny, one_stage, kind, deformable):
    model = one_stage(
        {"detector": kind, "train_cfg": None},
        type=f"{kind}Head",
        feat_channels=16,
        stacked_convs=1,
        norm_cfg=dict(type="BN"),
        anchor_generator=ANCHORS,
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]),
        **({"use_dcn": deformable > 0} if kind == "DDOD" else {}),
    )
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    kinds = [type(operation).__name__ for operation in lowered.program.operations]
    assert kinds.count("DeformedSamples") == deformable  # in both towers, on each level
    candidates = lowered.program.operations[-4]
    assert candidates.coder == DeltaCoder((0.0,) * 4, (0.1, 0.1, 0.2, 0.2), 16 / 1000)
    assert len(candidates.factors) == 5 and not candidates.factor_first
    assert candidates.base_anchors[0] == ((-32.0, -32.0, 32.0, 32.0),)
