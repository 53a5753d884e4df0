import pytest

from lbwdet.deploy.lower import lower


@pytest.mark.parametrize("votes", [True, False])
def test_equals_mmdetection_and_runs_in_integers(whole, tiny, one_stage, votes):
    model = one_stage(
        {
            "detector": "PAA",
            "test_cfg.nms_pre": 30,
            "test_cfg.score_thr": 0.3,
            "test_cfg.max_per_img": 40,
        },
        type="PAAHead",
        feat_channels=16,
        stacked_convs=1,
        norm_cfg=dict(type="BN"),
        score_voting=votes,
        anchor_generator=dict(
            type="AnchorGenerator",
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=[8, 16, 32, 64, 128],
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]),
    )
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    kinds = [type(operation).__name__ for operation in lowered.program.operations]
    rest = ["Candidates", "Rescale", "Suppress", *(["Vote"] if votes else []), "Detections"]
    assert kinds[-len(rest) :] == rest
    candidates = lowered.program.operations[-len(rest)]
    assert candidates.root and candidates.whole_anchors and candidates.pre_nms == 30
