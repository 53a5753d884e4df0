_base_ = './lbw_frcnn_bccd_fp32-finetuned.py'
quant = dict(weight=dict(bit_width=4, code='dense'), activation=dict(bit_width=8))
model = dict(
    backbone=dict(quant=quant),
    neck=dict(quant=quant),
    rpn_head=dict(quant=quant),
    roi_head=dict(bbox_head=dict(quant=quant)))
