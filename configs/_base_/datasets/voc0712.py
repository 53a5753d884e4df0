# PASCAL VOC: 2007 and 2012 trainval for training, 2007 test for evaluation, as in
# MMDetection, read by our data set class.
_base_ = 'mmdet::_base_/datasets/voc0712.py'
dataset_type = 'LBWVOCDataset'
data_root = '{{$LBWDET_VOC:data/VOCdevkit/}}'
data_hint = '''from host.robots.ox.ac.uk/pascal/VOC get the archives
  VOCtrainval_06-Nov-2007.tar  VOCtest_06-Nov-2007.tar  VOCtrainval_11-May-2012.tar
and unpack all three in one place, so that data/VOCdevkit/ holds VOC2007/ and VOC2012/:
  mkdir -p data && for archive in VOC*.tar; do tar -xf $archive -C data; done
or, where they are unpacked already, name the folder that holds VOC2007/ and VOC2012/ by
  export LBWDET_VOC=ROOT'''

dataset = dict(type=dataset_type, data_root=data_root)
train_dataloader = dict(
    persistent_workers=False,  # seeded anew in each epoch: see EpochSeedHook
    dataset=dict(
        dataset=dict(datasets=[
            dict(part, **dataset)
            for part in _base_.train_dataloader.dataset.dataset.datasets
        ])))
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
