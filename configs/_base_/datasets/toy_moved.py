# The toy set for many epochs: objects come mirrored, moved and at other sizes each time.
_base_ = './toy.py'
train_pipeline = _base_.train_pipeline
train_pipeline[3] = dict(
    type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal'])
train_pipeline.insert(
    4,
    dict(
        type='RandomAffine',
        max_rotate_degree=0.0,
        max_translate_ratio=0.1,
        scaling_ratio_range=(0.8, 1.25),
        max_shear_degree=0.0))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
