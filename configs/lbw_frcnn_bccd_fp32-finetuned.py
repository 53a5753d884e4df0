# The float model trained on by the schedule of the low-bit ones: their fair opponent.
_base_ = [
    './_base_/models/frcnn_r18_fpn.py', './_base_/datasets/bccd.py',
    './_base_/schedules/finetune_2e.py', './_base_/default_runtime.py'
]
model = dict(roi_head=dict(bbox_head=dict(num_classes=3)))
load_from = 'work_dirs/lbw_frcnn_bccd_fp32/epoch_12.pth'
