# Maps end at a ReLU6, or next to it: one step for all channels serves, unlike behind a SiLU.
_base_ = './lbw_frcnn_lite0_voc_4bit.py'
model = dict(quant=dict(activation=dict(bit_width=8)))
