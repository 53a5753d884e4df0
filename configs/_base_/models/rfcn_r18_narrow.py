# For the toy set, from random weights: a quarter of R18's channels, all trained. Objects
# have 20 to 90 pixels, so res4 keeps its stride (8 in all), anchors are small, and
# regions have 3x3 cells. The mean over cells divides each predictor's gradient: batch
# norm before them, and a higher learning rate in the schedule. Sampling is random, as
# for Faster R-CNN: hard examples alone are too hard for random weights.
_base_ = './rfcn_r50.py'
grid_size = 3
model = dict(
    backbone=dict(
        depth=18,
        base_channels=16,
        strides=(1, 2, 1, 1),
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(scales=[3, 5, 8], strides=[8])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_stride=8, grid_size=grid_size),
        bbox_head=dict(
            in_channels=128, feat_channels=128, grid_size=grid_size, norm_cfg=dict(type='BN'))),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=100),
        rcnn=dict(sampler=dict(type='RandomSampler', num=128))),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=100)))
