_base_ = './lbw_detr_toy_fp32-finetuned.py'
model = dict(
    type='LBWDetector', detector='DETR',
    quant=dict(weight=dict(bit_width=4, code='dense'), activation=dict(bit_width=8)))
