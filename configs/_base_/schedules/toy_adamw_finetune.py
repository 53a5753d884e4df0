# The extra schedule of the low-bit ones among them.
_base_ = './toy_adamw.py'
train_cfg = dict(max_epochs=2, val_interval=1)
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=2,
        T_max=2)
]
optim_wrapper = dict(optimizer=dict(lr=0.0002))
