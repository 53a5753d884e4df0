# Photographs of PASCAL VOC 2012 with the longer side reduced to 400 pixels, and the 15
# of the 20 classes that occur in them, in VOC's order.
_base_ = './voc_small.py'
data_root = '{{$LBWDET_VOC_SAMPLE:data/voc-sample/}}'
data_hint = '''name the folder that holds the sample's VOC2007/ by
  export LBWDET_VOC_SAMPLE=ROOT'''
metainfo = dict(
    classes=('bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow',
             'dog', 'horse', 'motorbike', 'person', 'sheep', 'train'),
    palette=[(119, 11, 32), (165, 42, 42), (0, 0, 192), (197, 226, 255), (0, 60, 100),
             (0, 0, 142), (255, 77, 255), (153, 69, 1), (120, 166, 157), (0, 226, 252),
             (182, 182, 255), (0, 0, 230), (220, 20, 60), (0, 82, 0), (0, 80, 100)])
image_scale = (400, 400)

train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = image_scale
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = image_scale
train_dataloader = dict(
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader
