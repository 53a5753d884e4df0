_base_ = './lbw_rfcn_r50_voc_fp32.py'
model = dict(type='LBWDetector', detector='FasterRCNN', quant=dict(weight=dict(bit_width=6)))
load_from = 'work_dirs/lbw_rfcn_r50_voc_fp32/epoch_4.pth'
