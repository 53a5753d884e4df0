# The float model trained on: the low-bit ones' opponent.
_base_ = './_base_/starts/frcnn_lite0_voc-sample.py'
