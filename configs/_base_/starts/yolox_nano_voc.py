# YOLOX-Nano with its weights from COCO, to be trained on; a schedule is still to be chosen.
_base_ = [
    '../models/yolox_nano.py', '../datasets/voc0712_square.py', '../default_runtime.py'
]
load_from = 'work_dirs/yolox_nano_voc.pth'
load_from_hint = '''take yolox_nano from the releases of github.com/Megvii-BaseDetection/YOLOX and
  lbwdet import-yolox yolox_nano.pth --config configs/lbw_yolox_nano_voc_fp32.py \\
      --out work_dirs/yolox_nano_voc.pth'''
# The stem stays, as on the sample.
model = dict(backbone=dict(frozen_stages=0), bbox_head=dict(num_classes=20))
