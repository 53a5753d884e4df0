_base_ = [
    './_base_/models/rfcn_r50.py', './_base_/datasets/voc0712.py',
    './_base_/schedules/voc_4e.py', './_base_/default_runtime.py'
]
model = dict(roi_head=dict(bbox_head=dict(num_classes=20)))
