# For images of 400 pixels: smaller anchors, fewer proposals.
_base_ = './frcnn_lite0_fpn.py'
model = dict(
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=300)),
    test_cfg=dict(rpn=dict(max_per_img=300)))
