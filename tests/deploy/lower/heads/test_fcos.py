import pytest
from mmdet.models.task_modules import AnchorGenerator

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.errors import ConfigError


@pytest.fixture(scope="module")
def build(one_stage):
    def build(detector="FCOS", **head):
        settings = dict(
            type="FCOSHead",
            feat_channels=16,
            stacked_convs=1,
            strides=[8, 16, 32, 64, 128],
            norm_cfg=dict(type="BN"),
        )
        changes = {"detector": detector, "neck.relu_before_extra_convs": True}
        return one_stage(changes, **{**settings, **head})

    return build


def test_equals_mmdetection(whole, tiny, build):
    model = build(norm_on_bbox=True, centerness_on_reg=True)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    candidates = lowered.program.operations[-4]
    assert candidates.coder == DistanceCoder() and len(candidates.factors) == 5
    assert not candidates.factor_first
    assert candidates.base_anchors[1] == ((8.0, 8.0, 8.0, 8.0),)
    # One convolution with a scale, a ReLU and a stride for each level: five layers.
    layers = [name for name in lowered.weights if name.startswith("bbox_head.conv_reg")]
    assert layers == [f"bbox_head.conv_reg:{level}" for level in range(5)]
    assert not any(type(op).__name__ == "Affine" for op in lowered.program.operations)


def test_scores_of_v3det_are_sigmoids(whole, tiny, build):
    loss = dict(type="FocalCustomLoss", num_classes=2, use_sigmoid=True)
    model = build(norm_on_bbox=True, centerness_on_reg=True, loss_cls=loss)
    assert model.bbox_head.loss_cls.custom_cls_channels
    whole.check(model, tiny.pipeline, lower(model, tiny.pipeline), tiny.image)


@pytest.mark.parametrize("on_boxes", [True, False])
def test_exponentials_of_what_each_level_predicts(whole, tiny, build, on_boxes):
    model = build(norm_on_bbox=False, centerness_on_reg=on_boxes)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    candidates = lowered.program.operations[-4]
    assert candidates.coder == DistanceCoder(exponential=True)
    source = "reg" if on_boxes else "cls"
    factor = next(o for o in lowered.program.operations if o.written == candidates.factors[0])
    assert factor.input.startswith(f"bbox_head.{source}_convs")


def test_autoassign_cuts_off_below_zero(whole, tiny, build):
    model = build(type="AutoAssignHead", detector="AutoAssign")
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    assert lowered.program.operations[-4].coder == DistanceCoder()


def test_anchors_are_no_points(tiny, build, monkeypatch):
    model = build(norm_on_bbox=False)
    anchors = AnchorGenerator(strides=[8], ratios=[1.0], scales=[4])
    monkeypatch.setattr(model.bbox_head, "prior_generator", anchors)
    with pytest.raises(ConfigError, match=r"prior_generator: AnchorGenerator .* MlvlPoint"):
        lower(model, tiny.pipeline)
