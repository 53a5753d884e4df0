import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.coders import DistanceCoder


@pytest.mark.parametrize("norm_type", ["reg_denom", "stride"])
def test_equals_mmdetection_and_runs_in_integers(whole, tiny, one_stage, norm_type):
    model = one_stage(
        {"detector": "VFNet"},
        type="VFNetHead",
        feat_channels=16,
        stacked_convs=1,
        dcn_on_last_conv=False,
        bbox_norm_type=norm_type,
        strides=[8, 16, 32, 64, 128],
        norm_cfg=dict(type="GN", num_groups=4, requires_grad=True),
        regress_ranges=((-1, 12), (12, 16), (16, 32), (32, 64), (64, 1e8)),
        loss_cls=dict(type="VarifocalLoss", use_sigmoid=True),
    )
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    kinds = [type(operation).__name__ for operation in lowered.program.operations]
    assert kinds.count("Mix") == kinds.count("DeformedSamples") == 10
    candidates = lowered.program.operations[-4]
    assert candidates.coder == DistanceCoder(exponential=True, of_prior=True)
    half = 4.0 if norm_type == "stride" else 6.0
    assert candidates.base_anchors[0] == ((-half, -half, half, half),)
