_base_ = './lbw_frcnn_lite0_voc_fp32.py'
model = dict(
    type='LBWDetector', detector='FasterRCNN',
    quant=dict(weight=dict(bit_width=4, code='dense'), activation=dict(bit_width=8)))
load_from = 'work_dirs/lbw_frcnn_lite0_voc_fp32/epoch_4.pth'
