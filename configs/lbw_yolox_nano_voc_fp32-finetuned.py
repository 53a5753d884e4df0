# The float model trained on by its labels: the opponent of the low-bit ones.
_base_ = ['./_base_/starts/yolox_nano_voc.py', './_base_/schedules/pretrained_1e.py']
