import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.errors import ConfigError
from tests.deploy.lower.test_region_buckets import BOX_HEAD


@pytest.fixture(scope="module")
def sabl(one_stage):
    anchors = dict(type="AnchorGenerator", strides=[8, 16, 32, 64, 128])
    return one_stage(
        type="SABLRetinaHead",
        feat_channels=16,
        stacked_convs=1,
        approx_anchor_generator=dict(
            anchors, octave_base_scale=4, scales_per_octave=3, ratios=[0.5, 1.0, 2.0]
        ),
        square_anchor_generator=dict(anchors, ratios=[1.0], scales=[4]),
        bbox_coder=dict(type="BucketingBBoxCoder", num_buckets=6, scale_factor=3.0),
    )


def test_equals_mmdetection_and_runs_in_integers(whole, tiny, sabl):
    lowered = lower(sabl, tiny.pipeline)
    whole.check(sabl, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    kinds = [type(operation).__name__ for operation in lowered.program.operations]
    assert kinds.count("BucketSides") == kinds.count("BucketConfidence") == 5
    candidates = lowered.program.operations[-4]
    assert candidates.coder == DistanceCoder(0.5, inset=1.0, of_prior=True)
    assert candidates.plain_factors and not candidates.factor_first


def test_deltas_are_no_buckets(tiny, sabl, monkeypatch):
    monkeypatch.setattr(sabl.bbox_head, "bbox_coder", object())
    with pytest.raises(ConfigError, match=r"bbox_coder: object .* BucketingBBoxCoder"):
        lower(sabl, tiny.pipeline)


def test_soft_suppression_of_scores_with_factors_is_refused(tiny, two_stage):
    settings = {"test_cfg.rcnn.nms": dict(type="soft_nms", iou_threshold=0.5)}
    model = two_stage(box_head=dict(BOX_HEAD, _delete_=True), model=settings)
    with pytest.raises(ConfigError, match=r"rcnn\.nms: type='soft_nms' of scores with factors"):
        lower(model, tiny.pipeline)


def test_stages_of_regions(whole, tiny, two_stage, cascade):
    settings = cascade()
    settings["bbox_head"] = [
        dict(BOX_HEAD, bbox_coder=dict(BOX_HEAD["bbox_coder"], scale_factor=factor))
        for factor in (1.7, 1.5, 1.3)
    ]
    model = two_stage("CascadeRCNN", settings)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    names = [type(operation).__name__ for operation in lowered.program.operations]
    assert names.count("BucketSides") == 3
    assert "detections.0.confidence" not in lowered.program.operations[-4].factors
