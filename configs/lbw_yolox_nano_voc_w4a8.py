_base_ = './lbw_yolox_nano_voc_4bit.py'
model = dict(quant=dict(activation=dict(bit_width=8)))
