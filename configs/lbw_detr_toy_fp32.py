_base_ = [
    './_base_/models/detr_r18_narrow.py', './_base_/datasets/toy_moved.py',
    './_base_/schedules/toy_detr.py', './_base_/default_runtime.py'
]
model = dict(bbox_head=dict(num_classes=6))
