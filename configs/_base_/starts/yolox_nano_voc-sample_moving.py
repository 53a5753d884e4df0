# For comparing schemes: as taught, but levels move, by a hundredth of their gap a step at most:
# in 300 steps of half a cosine they may get one and a half gaps away. At a fifth none changed.
_base_ = './yolox_nano_voc-sample_taught.py'
hooks = [
    dict(type='ChannelsLastHook'),
    dict(type='NormEvalHook'),
    dict(type='LevelStepHook', levels=20),
    dict(type='EMAHook', momentum=0.05),
    dict(type='TeacherHook', teacher=_base_.load_from)
]
custom_hooks = hooks
