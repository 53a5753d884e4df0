# Low-bit ones: their teacher is the float network that the post-trained levels came from.
_base_ = ['./yolox_nano_voc.py', '../schedules/taught_4e.py']
custom_hooks = _base_.hooks + [dict(type='TeacherHook', teacher=_base_.load_from)]
