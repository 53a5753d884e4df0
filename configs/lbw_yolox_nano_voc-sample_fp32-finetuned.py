# The float model trained on by the schedule of the low-bit ones: their fair opponent.
_base_ = "./lbw_yolox_nano_voc-sample_fp32.py"
load_from = "work_dirs/yolox_nano_voc-sample.pth"
