_base_ = './_base_/starts/yolox_nano_voc-sample_taught.py'
model = dict(
    type='LBWDetector', detector='YOLOX',
    quant=dict(weight=dict(bit_width=5, code='two-term', granularity='channel')))
