# The extra schedule of detectors that start from published weights, float or low-bit: small
# steps, averaged weights, statistics of batch norm as they are. What was tried, and that it
# does not leave the float model whole yet: docs/results/yolox_nano_recipe.json.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=4,
        T_max=4,
        eta_min_ratio=0.05)
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.0001, weight_decay=0.0001),
    # The stem reads pixels of 0 to 255: its weights are a hundred times smaller than any
    # other layer's, and nearly all of the gradient's norm is its own. At one rate for all
    # it moves by percents where the rest moves by thousandths.
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={'backbone.stem.conv.conv.weight': dict(lr_mult=0.01)}),
    clip_grad=dict(max_norm=35))
custom_hooks = [dict(type='NormEvalHook'), dict(type='EMAHook', momentum=0.01)]
auto_scale_lr = dict(enable=False, base_batch_size=8)
