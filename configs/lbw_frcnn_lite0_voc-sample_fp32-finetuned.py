# The float model trained on, by labels: the low-bit ones' opponent.
_base_ = ['./_base_/starts/frcnn_lite0_voc-sample.py', './_base_/schedules/pretrained_1e.py']
