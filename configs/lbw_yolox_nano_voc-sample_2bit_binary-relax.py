# Of 4 epochs 3 are relaxed: lambda grows from 1 to 1.2^30 = 237 in them.
_base_ = './lbw_yolox_nano_voc-sample_2bit-moving.py'
scheme = dict(type='binary_relax', growth=1.2, interval=0.1)
custom_hooks = _base_.hooks + [dict(type='SchemeHook', scheme=scheme)]
