import pytest
from mmdet.models.task_modules import AnchorGenerator

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.errors import ConfigError


@pytest.fixture(scope="module")
def build(one_stage):
    def build(norm_on_bbox):
        return one_stage(
            {"detector": "FCOS", "neck.relu_before_extra_convs": True},
            type="FCOSHead",
            feat_channels=16,
            stacked_convs=1,
            strides=[8, 16, 32, 64, 128],
            norm_cfg=dict(type="BN"),
            norm_on_bbox=norm_on_bbox,
            centerness_on_reg=True,
        )

    return build


def test_equals_mmdetection(whole, tiny, build):
    model = build(norm_on_bbox=True)
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


def test_what_it_has_no_operation_for(tiny, build, monkeypatch):
    model = build(norm_on_bbox=False)
    with pytest.raises(ConfigError, match="bbox_head cannot be lowered: there is no rule for exp"):
        lower(model, tiny.pipeline)
    anchors = AnchorGenerator(strides=[8], ratios=[1.0], scales=[4])
    monkeypatch.setattr(model.bbox_head, "prior_generator", anchors)
    with pytest.raises(ConfigError, match=r"prior_generator: AnchorGenerator .* MlvlPoint"):
        lower(model, tiny.pipeline)
