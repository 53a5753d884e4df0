# The extra schedule of detectors that start from published weights, float or low-bit: small
# steps, averaged weights. What was tried is in docs/results/yolox_nano_recipe.json.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=8),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=1,
        T_max=1,
        eta_min_ratio=0.05)
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.00002, weight_decay=0.0),
    clip_grad=dict(max_norm=35))
custom_hooks = [dict(type='EMAHook', momentum=0.05)]
auto_scale_lr = dict(enable=False, base_batch_size=8)
