_base_ = './lbw_frcnn_voc_fp32.py'
model = dict(type='LBWDetector', detector='FasterRCNN', quant=dict(weight=dict(bit_width=5)))
load_from = 'work_dirs/lbw_frcnn_voc_fp32/epoch_4.pth'
