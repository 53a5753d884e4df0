# Low-bit detectors that start from levels which images chose, and are led to the outputs of
# the float one: levels and statistics of norms stay, gains, offsets and biases move, counted in
# their own size, and are averaged. What was tried is in docs/results/yolox_nano_recipe.json.
_base_ = './pretrained_1e.py'
train_cfg = dict(max_epochs=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=16),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=4,
        T_max=4,
        eta_min=0)
]
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=0.0005, betas=(0.9, 0.99)))
hooks = [
    dict(type='ChannelsLastHook'),
    dict(type='NormEvalHook'),
    dict(type='LevelStepHook', levels=0),
    dict(type='EMAHook', momentum=0.05)
]
custom_hooks = hooks
