# Low-bit detectors that start from levels which images chose, and are led to the outputs of
# the float one: steps are counted in levels, norms keep their statistics, weights are averaged.
# What was tried is in docs/results/yolox_nano_recipe.json.
_base_ = './pretrained_1e.py'
train_cfg = dict(max_epochs=3)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=8),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=3,
        T_max=3,
        eta_min_ratio=0.02)
]
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.0003, momentum=0.9))
hooks = [
    dict(type='NormEvalHook'),
    dict(type='LevelStepHook', levels=2),
    dict(type='EMAHook', momentum=0.05)
]
custom_hooks = hooks
