# MMDetection's Faster R-CNN R50-FPN made of parts that can be quantized. Each part takes
# quant=dict(weight=dict(bit_width=6, ...), keep_float=[...], overrides={...}).
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'
model = dict(
    backbone=dict(type='LBWResNet'),
    neck=dict(type='LBWFPN'),
    rpn_head=dict(type='LBWRPNHead'),
    roi_head=dict(bbox_head=dict(type='LBWShared2FCBBoxHead')))
