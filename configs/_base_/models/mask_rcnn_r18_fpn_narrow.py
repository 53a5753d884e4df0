# The narrow Faster R-CNN without its finest level, which costs most, and with MMDetection's mask
# branch at its width, two layers deep.
_base_ = './frcnn_r18_fpn_narrow.py'
strides = [8, 16, 32]
model = dict(
    type='MaskRCNN',
    data_preprocessor=dict(pad_mask=True),
    neck=dict(start_level=1, num_outs=3),
    rpn_head=dict(anchor_generator=dict(strides=strides)),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=strides),
        mask_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=64,
            featmap_strides=strides),
        mask_head=dict(
            type='FCNMaskHead',
            num_convs=2,
            in_channels=64,
            conv_out_channels=64,
            num_classes=80,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0))),
    train_cfg=dict(rcnn=dict(mask_size=28)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5)))
