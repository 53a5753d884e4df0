_base_ = './lbw_frcnn_lite0_voc_fp32-finetuned.py'
model = dict(
    type='LBWDetector', detector='FasterRCNN',
    quant=dict(weight=dict(bit_width=4, code='two-term', granularity='channel')))
