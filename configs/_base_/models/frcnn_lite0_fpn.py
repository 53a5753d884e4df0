# EfficientNet-Lite0 from ImageNet weights (the extra `pretrained`) and a slim pyramid.
_base_ = './frcnn_r50_fpn.py'
model = dict(
    data_preprocessor=dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0]),
    backbone=dict(_delete_=True, type='EfficientNetLite0'),
    neck=dict(in_channels=[24, 40, 112, 320], out_channels=128),
    rpn_head=dict(in_channels=128, feat_channels=128),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=128),
        bbox_head=dict(in_channels=128, fc_out_channels=512)))
