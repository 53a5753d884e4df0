_base_ = './lbw_frcnn_bccd_w4a4.py'
model = dict(quant=dict(activation=dict(ste='identity')))
