# The extra schedule of every low-bit model, and of the float model it is compared with.
_base_ = './scratch_12e.py'
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
optim_wrapper = dict(optimizer=dict(lr=0.005))
