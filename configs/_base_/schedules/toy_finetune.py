# The extra schedule of the low-bit models.
_base_ = './toy_scratch.py'
train_cfg = dict(max_epochs=2, val_interval=1)
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=2,
        T_max=2,
        eta_min_ratio=0.01)
]
optim_wrapper = dict(optimizer=dict(lr=0.005))
