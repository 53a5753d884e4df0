_base_ = [
    './_base_/models/frcnn_lite0_fpn_small.py', './_base_/datasets/voc-sample_varied.py',
    './_base_/schedules/imagenet_8e.py', './_base_/default_runtime.py'
]
model = dict(roi_head=dict(bbox_head=dict(num_classes=15)))
