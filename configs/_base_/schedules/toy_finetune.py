# The extra schedule of the low-bit models, at the toy set's batch size.
_base_ = './finetune_2e.py'
auto_scale_lr = dict(base_batch_size=8)
