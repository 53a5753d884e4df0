# The float model trained on by the schedule of the low-bit one: its fair opponent.
_base_ = [
    './_base_/models/rfcn_r18_narrow.py', './_base_/datasets/toy.py',
    './_base_/schedules/toy_finetune.py', './_base_/default_runtime.py'
]
model = dict(roi_head=dict(bbox_head=dict(num_classes=6)))
optim_wrapper = dict(
    optimizer=dict(lr=0.0375),
    paramwise_cfg=dict(custom_keys=dict(fc_cls=dict(lr_mult=10), fc_reg=dict(lr_mult=10))))
load_from = 'work_dirs/lbw_rfcn_toy_fp32/epoch_10.pth'
