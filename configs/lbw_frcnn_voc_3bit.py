_base_ = './lbw_frcnn_voc_fp32.py'
model = dict(
    type='LBWDetector', detector='FasterRCNN',
    quant=dict(weight=dict(bit_width=3, code='dense')))
load_from = 'work_dirs/lbw_frcnn_voc_fp32/epoch_4.pth'
