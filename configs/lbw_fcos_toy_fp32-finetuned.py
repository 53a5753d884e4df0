# The float model trained on by the schedule of the low-bit one: its fair opponent.
_base_ = [
    './_base_/models/fcos_r18_fpn_narrow.py', './_base_/datasets/toy.py',
    './_base_/schedules/toy_adamw_finetune.py', './_base_/default_runtime.py'
]
model = dict(bbox_head=dict(num_classes=6))
train_dataloader = dict(batch_size=4)
load_from = 'work_dirs/lbw_fcos_toy_fp32/epoch_10.pth'
