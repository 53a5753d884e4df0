_base_ = ['./voc0712.py', './square_pipelines.py']
train_pipeline = _base_.square_train_pipeline
test_pipeline = _base_.square_test_pipeline
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        dataset=dict(datasets=[
            dict(part, pipeline=train_pipeline)
            for part in _base_.train_dataloader.dataset.dataset.datasets
        ])))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
