# The float model trained on by the schedule of the low-bit one: its fair opponent.
_base_ = [
    './_base_/models/detr_r18_narrow.py', './_base_/datasets/toy_moved.py',
    './_base_/schedules/toy_detr_finetune.py', './_base_/default_runtime.py'
]
model = dict(backbone=dict(init_cfg=None), bbox_head=dict(num_classes=6))
load_from = 'work_dirs/lbw_detr_toy_fp32/epoch_70.pth'
