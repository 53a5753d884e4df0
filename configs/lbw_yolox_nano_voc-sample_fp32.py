# As lbwdet import-yolox brings it from COCO; to be tested, exported and trained on.
_base_ = [
    './_base_/models/yolox_nano.py', './_base_/datasets/voc-sample_square.py',
    './_base_/schedules/pretrained_1e.py', './_base_/default_runtime.py'
]
model = dict(bbox_head=dict(num_classes=15))
