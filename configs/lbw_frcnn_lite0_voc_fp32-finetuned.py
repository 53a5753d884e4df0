# The float model trained on by the schedule of the low-bit ones: their fair opponent.
_base_ = './lbw_frcnn_lite0_voc_fp32.py'
load_from = 'work_dirs/lbw_frcnn_lite0_voc_fp32/epoch_4.pth'
