_base_ = './lbw_rfcn_toy_fp32-finetuned.py'
quant = dict(weight=dict(bit_width=6))
model = dict(
    backbone=dict(quant=quant),
    rpn_head=dict(quant=quant),
    roi_head=dict(bbox_head=dict(quant=quant)))
