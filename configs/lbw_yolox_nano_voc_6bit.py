_base_ = './_base_/starts/yolox_nano_voc_taught.py'
model = dict(
    type='LBWDetector', detector='YOLOX',
    quant=dict(weight=dict(bit_width=6, code='two-term', granularity='channel')))
