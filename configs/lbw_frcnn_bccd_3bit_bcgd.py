_base_ = './lbw_frcnn_bccd_3bit.py'
custom_hooks = [dict(type='SchemeHook', scheme=dict(type='bcgd', rho=1e-5))]
