# Faster R-CNN on EfficientNet-Lite0 as it was trained on the sample, to be trained on; a schedule
# is still to be chosen.
_base_ = [
    '../models/frcnn_lite0_fpn_small.py', '../datasets/voc-sample.py', '../default_runtime.py'
]
model = dict(roi_head=dict(bbox_head=dict(num_classes=15)))
train_dataloader = dict(batch_size=8)
load_from = 'work_dirs/lbw_frcnn_lite0_voc-sample_fp32/epoch_8.pth'
