# Trained as it is, without levels that photographs chose: for comparison.
_base_ = './lbw_yolox_nano_voc-sample_6bit.py'
