# DETR on a trained backbone. Queries that share out an image's objects need many steps. For batches
# of 8.
_base_ = './toy_scratch.py'
train_cfg = dict(max_epochs=70, val_interval=10)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=200),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=70,
        T_max=70,
        eta_min_ratio=0.01)
]
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.0003, weight_decay=0.0001),
    clip_grad=dict(max_norm=0.1))
