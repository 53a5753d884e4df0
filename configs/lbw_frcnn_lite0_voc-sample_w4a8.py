# Maps of a compact detector need a step for each channel.
_base_ = './lbw_frcnn_lite0_voc-sample_4bit.py'
model = dict(quant=dict(activation=dict(bit_width=8, granularity='channel')))
