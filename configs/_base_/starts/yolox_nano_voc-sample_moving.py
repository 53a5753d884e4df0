# For comparing schemes: as taught, but levels move, by two thousandths of their gap a step at
# most.
_base_ = './yolox_nano_voc-sample_taught.py'
hooks = [
    dict(type='ChannelsLastHook'),
    dict(type='NormEvalHook'),
    dict(type='LevelStepHook', levels=4),
    dict(type='EMAHook', momentum=0.05),
    dict(type='TeacherHook', teacher=_base_.load_from)
]
custom_hooks = hooks
