_base_ = './lbw_yolox_nano_voc-sample_4bit.py'
model = dict(quant=dict(weight=dict(code='two-term')))
