_base_ = './lbw_frcnn_bccd_fp32-finetuned.py'
model = dict(
    type='LBWDetector', detector='FasterRCNN',
    quant=dict(weight=dict(bit_width=2), activation=dict(bit_width=4)))
