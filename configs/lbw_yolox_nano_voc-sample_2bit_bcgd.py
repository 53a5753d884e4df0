_base_ = './lbw_yolox_nano_voc-sample_2bit-moving.py'
custom_hooks = _base_.hooks + [dict(type='SchemeHook', scheme=dict(type='bcgd', rho=1e-5))]
