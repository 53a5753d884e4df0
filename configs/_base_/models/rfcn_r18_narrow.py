# For the toy set's objects of 20 to 90 pixels, from random weights: a quarter of R18's
# channels, all trained; res4 dilated, too, which makes the stride 8; smaller anchors.
_base_ = './rfcn_r50.py'
model = dict(
    backbone=dict(
        depth=18,
        base_channels=16,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(scales=[3, 5, 8], strides=[8])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_stride=8),
        bbox_head=dict(in_channels=128, feat_channels=128)),
    train_cfg=dict(rpn_proposal=dict(nms_pre=500, max_per_img=100), rcnn=dict(sampler=dict(num=64))),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=100)))
