# Low-bit ones: their teacher is the float network that the post-trained levels came from. Its
# regions tell more of an image than YOLOX's positions: one epoch.
_base_ = ['./frcnn_lite0_voc-sample.py', '../schedules/taught_4e.py']
train_cfg = dict(max_epochs=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=16),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=1,
        T_max=1,
        eta_min=0)
]
custom_hooks = _base_.hooks + [dict(type='TeacherHook', teacher=_base_.load_from)]
