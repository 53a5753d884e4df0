_base_ = './lbw_mask_rcnn_toy_fp32-finetuned.py'
model = dict(
    type='LBWDetector', detector='MaskRCNN',
    quant=dict(weight=dict(bit_width=4, code='dense'), activation=dict(bit_width=8)))
