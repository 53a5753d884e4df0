_base_ = './lbw_yolox_nano_voc-sample_w3a4.py'
model = dict(quant=dict(activation=dict(ste='relu')))
