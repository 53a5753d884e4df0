_base_ = './_base_/starts/frcnn_lite0_voc-sample.py'
model = dict(
    type='LBWDetector', detector='FasterRCNN',
    quant=dict(weight=dict(bit_width=4, code='two-term', granularity='channel')))
