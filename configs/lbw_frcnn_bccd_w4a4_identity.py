_base_ = './lbw_frcnn_bccd_w4a4.py'
quant = dict(activation=dict(ste='identity'))
model = dict(
    backbone=dict(quant=quant),
    neck=dict(quant=quant),
    rpn_head=dict(quant=quant),
    roi_head=dict(bbox_head=dict(quant=quant)))
