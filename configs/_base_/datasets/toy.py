# Drawn shapes at their own size: see lbwdet/datasets/toy.py.
_base_ = './voc_small.py'
data_root = 'data/toy/'
data_hint = '''make it (15 seconds):
  python tools/make_toy_data.py --root {data_root}
or let "make demo" do so'''
metainfo = dict(
    classes=('disc', 'triangle', 'square', 'star', 'cross', 'crescent'),
    palette=[(220, 20, 60), (0, 120, 220), (240, 160, 30), (150, 60, 200), (20, 150, 70),
             (0, 170, 180)])
image_scale = (192, 160)

train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = image_scale
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = image_scale
train_dataloader = dict(
    batch_size=8,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader
