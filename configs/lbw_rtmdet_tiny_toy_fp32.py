_base_ = [
    './_base_/models/rtmdet_tiny.py', './_base_/datasets/toy.py',
    './_base_/schedules/toy_adamw.py', './_base_/default_runtime.py'
]
model = dict(bbox_head=dict(num_classes=6))
train_dataloader = dict(batch_size=4)
