_base_ = './lbw_rfcn_r101_voc_fp32.py'
quant = dict(weight=dict(bit_width=6))
model = dict(
    backbone=dict(quant=quant),
    rpn_head=dict(quant=quant),
    roi_head=dict(bbox_head=dict(quant=quant)))
load_from = 'work_dirs/lbw_rfcn_r101_voc_fp32/epoch_4.pth'
