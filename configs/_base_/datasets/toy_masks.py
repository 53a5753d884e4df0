# The same images and boxes with masks, from the COCO JSON beside them.
_base_ = './toy.py'
train_pipeline = _base_.train_pipeline
train_pipeline[1] = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
test_pipeline = _base_.test_pipeline
test_pipeline[2] = train_pipeline[1]
data_prefix = dict(img='VOC2007/JPEGImages/')
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CocoDataset',
        data_root=_base_.data_root,
        metainfo=_base_.metainfo,
        ann_file='annotations/trainval.json',
        data_prefix=data_prefix,
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CocoDataset',
        data_root=_base_.data_root,
        metainfo=_base_.metainfo,
        ann_file='annotations/test.json',
        data_prefix=data_prefix,
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type='CocoMetric',
    metric=['bbox', 'segm'],
    ann_file=_base_.data_root + 'annotations/test.json')
test_evaluator = val_evaluator
