_base_ = './lbw_yolox_nano_voc-sample_3bit-moving.py'
model = dict(quant=dict(activation=dict(bit_width=4, signed_bit_width=4, granularity='channel')))
