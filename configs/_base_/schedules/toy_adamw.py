# Dense heads from random weights: focal losses move slowly by SGD. For batches of 4.
_base_ = './toy_scratch.py'
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.002, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True),
    clip_grad=dict(max_norm=35))
auto_scale_lr = dict(base_batch_size=4)
