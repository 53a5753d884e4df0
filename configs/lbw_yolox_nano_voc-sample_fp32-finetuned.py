# The float model trained on by the schedule of the low-bit ones: their fair opponent.
_base_ = './lbw_yolox_nano_voc-sample_fp32.py'
load_from = 'work_dirs/yolox_nano_voc-sample.pth'
load_from_hint = '''take yolox_nano from the releases of github.com/Megvii-BaseDetection/YOLOX and
  lbwdet import-yolox yolox_nano.pth --config configs/lbw_yolox_nano_voc-sample_fp32.py \\
      --out work_dirs/yolox_nano_voc-sample.pth'''
# The stem stays. It adds up 108 pixels with a mean near 120: its output moves by several
# standard deviations where all of its weights move by 0.0002 the same way, which is what ten
# steps of AdamW at 2e-5 do. Of 6.9 mAP lost in 24 iterations, 6.1 were the stem's.
model = dict(backbone=dict(frozen_stages=0))
