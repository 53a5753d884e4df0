_base_ = 'mmdet::_base_/default_runtime.py'
custom_imports = dict(imports=['lbwdet.models', 'lbwdet.training', 'lbwdet.datasets'])
default_hooks = dict(
    logger=dict(interval=20),
    # two, so that the previous checkpoint survives a crash while one is written
    checkpoint=dict(max_keep_ckpts=2),
    activation=dict(type='ActivationHook'),
    epoch_seed=dict(type='EpochSeedHook'),
    resume=dict(type='ResumeHook'),
    quant_monitor=dict(type='QuantMonitorHook', interval=100))
randomness = dict(seed=0)
