# BCCD blood cells, 640x480 microscope images at half size.
_base_ = './voc_small.py'
data_root = '{{$LBWDET_BCCD:data/bccd/}}'
data_hint = '''BCCD (github.com/Shenggan/BCCD_Dataset): name the folder that holds its VOC2007/ by
  export LBWDET_BCCD=ROOT'''
metainfo = dict(
    classes=('RBC', 'WBC', 'Platelets'),
    palette=[(220, 20, 60), (0, 90, 200), (250, 170, 30)])
image_scale = (320, 240)

train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = image_scale
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = image_scale
train_dataloader = dict(
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader
