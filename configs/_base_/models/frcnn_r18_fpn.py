# For small images and random initial weights: nothing is frozen and batch norm learns,
# unlike MMDetection's default for ImageNet weights. Smaller anchors, fewer proposals.
_base_ = './frcnn_r50_fpn.py'
model = dict(
    backbone=dict(depth=18, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512]),
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=300)),
    test_cfg=dict(rpn=dict(max_per_img=300)))
