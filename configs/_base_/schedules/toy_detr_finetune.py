# The extra schedule of the low-bit one.
_base_ = './toy_detr.py'
train_cfg = dict(max_epochs=5, val_interval=5)
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=5,
        T_max=5)
]
optim_wrapper = dict(optimizer=dict(lr=0.0001))
