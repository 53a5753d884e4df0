# MMDetection's Faster R-CNN R50-FPN. A low-bit config quantizes all of it by one entry,
# type='LBWDetector'; these parts can also be quantized one by one: dict(quant=...).
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'
model = dict(
    backbone=dict(type='LBWResNet'),
    neck=dict(type='LBWFPN'),
    rpn_head=dict(type='LBWRPNHead'),
    roi_head=dict(bbox_head=dict(type='LBWShared2FCBBoxHead')))
