# Of 2 epochs 1.5 are relaxed: lambda grows from 1 to 1.2^30 = 237 in them.
_base_ = './lbw_frcnn_bccd_3bit.py'
scheme = dict(type='binary_relax', growth=1.2, interval=0.05)
custom_hooks = [dict(type='SchemeHook', scheme=scheme)]
