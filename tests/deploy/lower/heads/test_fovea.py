from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.coders import DistanceCoder


def test_equals_mmdetection_and_runs_in_integers(whole, tiny, one_stage):
    model = one_stage(
        {"detector": "FOVEA"},
        type="FoveaHead",
        feat_channels=16,
        stacked_convs=1,
        strides=[8, 16, 32, 64, 128],
        base_edge_list=[16, 32, 64, 128, 256],
        norm_cfg=dict(type="BN"),
    )
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    candidates = lowered.program.operations[-4]
    assert candidates.coder == DistanceCoder(inset=1.0, exponential=True, of_prior=True)
    # A square of the level's base length around the middle of the first pixel.
    assert candidates.base_anchors[:2] == (((-4.0, -4.0, 12.0, 12.0),), ((-8.0, -8.0, 24.0, 24.0),))


def test_features_are_aligned_with_the_boxes(whole, tiny, one_stage):
    model = one_stage(
        {"detector": "FOVEA"},
        type="FoveaHead",
        feat_channels=16,
        stacked_convs=1,
        strides=[8, 16, 32, 64, 128],
        base_edge_list=[16, 32, 64, 128, 256],
        with_deform=True,
        deform_groups=2,
        norm_cfg=dict(type="BN"),
    )
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    kinds = [getattr(operation, "function", "") for operation in lowered.program.operations]
    assert kinds.count("exp") == 5
