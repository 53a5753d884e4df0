from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.coders import DistanceCoder


def test_equals_mmdetection_and_runs_in_integers(whole, tiny, one_stage):
    model = one_stage(
        {"detector": "CenterNet", "neck.relu_before_extra_convs": True},
        type="CenterNetUpdateHead",
        feat_channels=16,
        stacked_convs=1,
        strides=[8, 16, 32, 64, 128],
        norm_cfg=dict(type="BN"),
        loss_cls=dict(type="GaussianFocalLoss", pos_weight=0.25, neg_weight=0.75),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
    )
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    candidates = lowered.program.operations[-4]
    assert candidates.coder == DistanceCoder() and candidates.factors == ()
    assert candidates.base_anchors[1] == ((8.0, 8.0, 8.0, 8.0),)
