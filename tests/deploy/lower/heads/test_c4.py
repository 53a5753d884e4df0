"""Regions that go through a stage of the backbone, as in detectors without a neck."""

import torch

from lbwdet.deploy.lower import lower

FACTOR = 0.01


def test_equals_mmdetection(whole, tiny, two_stage):
    model = two_stage(
        model=dict(
            backbone=dict(
                type="ResNet",
                depth=18,
                base_channels=64,
                num_stages=3,
                strides=(1, 2, 2),
                dilations=(1, 1, 1),
                out_indices=(2,),
                frozen_stages=-1,
                norm_eval=False,
                style="pytorch",
            ),
            neck=None,
            rpn_head=dict(
                type="RPNHead",
                in_channels=256,
                feat_channels=16,
                anchor_generator=dict(
                    type="AnchorGenerator", scales=[2, 4], ratios=[0.5, 1.0], strides=[16]
                ),
                bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
                loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True),
                loss_bbox=dict(type="L1Loss"),
            ),
        ),
        roi_head=dict(
            shared_head=dict(
                type="ResLayer", depth=18, stage=3, stride=2, style="pytorch", norm_eval=False
            ),
            bbox_roi_extractor=dict(
                type="SingleRoIExtractor",
                roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0),
                out_channels=256,
                featmap_strides=[16],
            ),
        ),
        box_head=dict(
            _delete_=True,
            type="BBoxHead",
            with_avg_pool=True,
            roi_feat_size=7,
            in_channels=512,
            num_classes=2,
            bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
            loss_cls=dict(type="CrossEntropyLoss"),
            loss_bbox=dict(type="L1Loss"),
        ),
    )
    with torch.no_grad():  # or all boxes are beyond the image, with a score of 1
        for layer in (model.roi_head.bbox_head.fc_reg, model.roi_head.bbox_head.fc_cls):
            layer.weight.mul_(FACTOR)
    whole.check(model, tiny.pipeline, lower(model, tiny.pipeline), tiny.image)
