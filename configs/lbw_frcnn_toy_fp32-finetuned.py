# The float model trained on by the schedule of the low-bit ones: their fair opponent.
_base_ = [
    './_base_/models/frcnn_r18_fpn_narrow.py', './_base_/datasets/toy.py',
    './_base_/schedules/toy_finetune.py', './_base_/default_runtime.py'
]
model = dict(roi_head=dict(bbox_head=dict(num_classes=6)))
custom_hooks = [dict(type='ChannelsLastHook')]  # a tenth faster on a CPU
load_from = 'work_dirs/lbw_frcnn_toy_fp32/epoch_10.pth'
