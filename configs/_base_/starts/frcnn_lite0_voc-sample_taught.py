# Low-bit ones: their teacher is the float network that the post-trained levels came from. Its
# regions tell more of an image than YOLOX's positions: one epoch.
_base_ = ['./frcnn_lite0_voc-sample.py', '../schedules/taught_4e.py']
train_cfg = dict(max_epochs=1)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=1, T_max=1)
custom_hooks = _base_.hooks + [dict(type='TeacherHook', teacher=_base_.load_from)]
