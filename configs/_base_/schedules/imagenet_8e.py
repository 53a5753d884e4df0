# From ImageNet's weights on a few hundred photographs, AdamW, batch 8. Of SGD and AdamW at 2e-4
# and 5e-4 (batches of 8, two thirds of the training photographs), AdamW at 2e-4 had the least
# training loss after 8 epochs.
_base_ = './scratch_12e.py'
train_cfg = dict(max_epochs=8, val_interval=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=8,
        T_max=8,
        eta_min_ratio=0.01)
]
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.0003, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0),
    clip_grad=dict(max_norm=35))
auto_scale_lr = dict(base_batch_size=8)
