import pytest

from lbwdet.deploy.lower import lower
from lbwdet.errors import ConfigError

PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(70, 70), keep_ratio=False),
    dict(type="PackDetInputs"),
]
MAPS = (9, 5, 3)  # of the levels, on 70 pixels


def yolact(one_stage, **anchors):
    strides = [70 / pixels for pixels in MAPS]
    generator = dict(
        type="AnchorGenerator",
        octave_base_scale=2,
        scales_per_octave=1,
        base_sizes=[8, 16, 32],
        ratios=[0.5, 1.0],
        strides=strides,
        centers=[(stride / 2, stride / 2) for stride in strides],
    )
    model = one_stage(
        {
            "detector": "YOLACT",
            "data_preprocessor.pad_size_divisor": 1,
            "mask_head": dict(
                type="YOLACTProtonet",
                in_channels=16,
                num_protos=4,
                proto_channels=(8, None, 4),
                proto_kernel_sizes=(3, -2, 1),
                num_classes=2,
                with_seg_branch=False,
            ),
            "neck": dict(
                _delete_=True,
                type="FPN",
                in_channels=[8, 16, 32, 64],
                out_channels=16,
                start_level=1,
                num_outs=3,
                upsample_cfg=dict(mode="bilinear"),
            ),
            "train_cfg": None,
            "test_cfg": dict(
                _delete_=True,
                nms_pre=60,
                min_bbox_size=0,
                score_thr=0.05,
                mask_thr=0.5,
                iou_thr=0.5,
                top_k=25,
                max_per_img=20,
                mask_thr_binary=0.5,
            ),
        },
        type="YOLACTHead",
        feat_channels=16,
        num_protos=4,
        anchor_generator=generator | anchors,
        bbox_coder=dict(
            type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]
        ),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, reduction="none"),
        loss_bbox=dict(type="SmoothL1Loss", beta=1.0),
    )
    for layer in (model.mask_head.protonet[-2], model.bbox_head.conv_coeff):
        layer.weight.data.normal_(0, 1)  # masks are neither all nor nothing
    return model


def test_equals_mmdetection_and_the_engines_each_other(whole, tiny, one_stage):
    model = yolact(one_stage)
    lowered = lower(model, PIPELINE)
    whole.check(model, PIPELINE, lowered, tiny.image)
    (suppress,) = (op for op in lowered.program.operations if type(op).__name__ == "Suppress")
    assert suppress.fast and suppress.most_of_group == 25
    whole.check_engines(lowered, tiny.image)
    boxes = lower(model, PIPELINE, boxes_only=True)
    assert boxes.program.operations[-1].masks is None and len(boxes.maps) == 6


def test_strides_of_two_lengths(tiny, one_stage):
    model = yolact(one_stage)
    model.bbox_head.prior_generator.strides[1] = (8, 16)
    with pytest.raises(ConfigError, match="both sides have to be equal"):
        lower(model, PIPELINE)
