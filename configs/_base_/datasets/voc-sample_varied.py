# The sample's photographs in other colours and at other sizes each time, for long trainings.
_base_ = './voc-sample.py'
train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(
    type='RandomChoiceResize', scales=[(side, side) for side in range(288, 513, 32)],
    keep_ratio=True)
train_pipeline.insert(2, dict(type='PhotoMetricDistortion'))
# Workers that end with the epoch take their randomness from it.
train_dataloader = dict(batch_size=8, num_workers=2, dataset=dict(pipeline=train_pipeline))
