_base_ = './lbw_yolox_nano_voc-sample_w2a4.py'
model = dict(quant=dict(activation=dict(ste='relu')))
