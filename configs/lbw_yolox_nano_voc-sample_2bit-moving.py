_base_ = './_base_/starts/yolox_nano_voc-sample_moving.py'
model = dict(
    type='LBWDetector', detector='YOLOX',
    quant=dict(weight=dict(bit_width=2, granularity='channel')))
