# The float model trained on by the schedule of the low-bit ones: their fair opponent.
_base_ = './lbw_yolox_nano_voc_fp32.py'
load_from = 'work_dirs/yolox_nano_voc.pth'
load_from_hint = '''take yolox_nano from the releases of github.com/Megvii-BaseDetection/YOLOX and
  lbwdet import-yolox yolox_nano.pth --config configs/lbw_yolox_nano_voc_fp32.py \\
      --out work_dirs/yolox_nano_voc.pth'''
# The stem stays, as on the sample.
model = dict(backbone=dict(frozen_stages=0))
