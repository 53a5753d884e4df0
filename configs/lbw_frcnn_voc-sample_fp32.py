_base_ = [
    './_base_/models/frcnn_r18_fpn.py', './_base_/datasets/voc-sample.py',
    './_base_/schedules/scratch_6e.py', './_base_/default_runtime.py'
]
model = dict(roi_head=dict(bbox_head=dict(num_classes=15)))
