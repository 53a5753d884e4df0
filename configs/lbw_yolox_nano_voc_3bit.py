_base_ = './lbw_yolox_nano_voc_fp32-finetuned.py'
model = dict(
    type='LBWDetector', detector='YOLOX',
    quant=dict(weight=dict(bit_width=3, code='dense', granularity='channel')))
