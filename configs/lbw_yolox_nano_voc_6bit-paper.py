# Powers of two alone, the paper's code.
_base_ = './lbw_yolox_nano_voc_6bit.py'
model = dict(quant=dict(weight=dict(code='paper')))
