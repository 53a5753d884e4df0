import pytest

from lbwdet.deploy.lower import lower
from lbwdet.errors import ConfigError

MASK_HEAD = dict(
    type="CondInstMaskHead",
    num_layers=3,
    feat_channels=8,
    size_of_interest=8,
    mask_out_stride=4,
    mask_feature_head=dict(
        in_channels=16,
        feat_channels=8,
        start_level=0,
        end_level=1,
        out_channels=8,
        mask_stride=8,
        num_stacked_convs=1,
        norm_cfg=dict(type="BN"),
    ),
    loss_mask=dict(type="DiceLoss", use_sigmoid=True, activate=True, eps=5e-6),
)


def condinst(one_stage, mask_head=MASK_HEAD, **head):
    model = one_stage(
        {
            "detector": "CondInst",
            "mask_head": mask_head,
            "neck": dict(
                _delete_=True,
                type="FPN",
                in_channels=[8, 16, 32, 64],
                out_channels=16,
                start_level=1,
                num_outs=3,
            ),
            "train_cfg": None,
            "test_cfg": dict(
                _delete_=True,
                nms_pre=100,
                min_bbox_size=0,
                score_thr=0.05,
                nms=dict(type="nms", iou_threshold=0.6),
                max_per_img=20,
                mask_thr=0.4,
            ),
        },
        **dict(
            type="CondInstBboxHead",
            feat_channels=16,
            stacked_convs=1,
            strides=[8, 16, 32],
            regress_ranges=((-1, 32), (32, 64), (64, 1e8)),
            norm_on_bbox=True,
            centerness_on_reg=True,
            conv_bias=True,
            norm_cfg=dict(type="GN", num_groups=4),
            loss_bbox=dict(type="GIoULoss", loss_weight=1.0),
        )
        | head,
    )
    model.bbox_head.conv_reg.bias.data.fill_(1.0)  # boxes have their sides around their points
    for layer in (model.bbox_head.controller, model.mask_head.mask_feature_head.conv_pred):
        layer.weight.data.normal_(0, 1)  # masks are neither all nor nothing
        layer.bias.data.normal_(0, 1)
    return model


def test_equals_mmdetection_and_the_engines_each_other(whole, tiny, one_stage):
    model = condinst(one_stage)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    assert "EnlargedMasks" in {type(op).__name__ for op in lowered.program.operations}
    whole.check_engines(lowered, tiny.image)
    boxes = lower(model, tiny.pipeline, boxes_only=True)
    assert boxes.program.operations[-1].masks is None and len(boxes.maps) == 9


def test_distances_whose_exponential_is_taken(tiny, one_stage):
    with pytest.raises(ConfigError, match="norm_on_bbox=False cannot be lowered; give True"):
        lower(condinst(one_stage, norm_on_bbox=False), tiny.pipeline)


def test_features_that_are_made_otherwise(tiny, one_stage):
    model = condinst(one_stage)
    features = model.mask_head.mask_feature_head
    features.__class__ = type("Other", (type(features),), {"forward": None})
    with pytest.raises(ConfigError, match="mask_feature_head Other cannot be lowered"):
        lower(model, tiny.pipeline)


def test_masks_of_a_stride_that_is_no_whole_part(tiny, one_stage):
    model = condinst(one_stage, dict(MASK_HEAD, mask_out_stride=3))
    with pytest.raises(ConfigError, match=r"mask_out_stride=3 cannot be lowered; .* features', 8"):
        lower(model, tiny.pipeline)
