_base_ = ['./voc-sample.py', './square_pipelines.py']
train_pipeline = _base_.square_train_pipeline
test_pipeline = _base_.square_test_pipeline
image_scale = _base_.square
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
