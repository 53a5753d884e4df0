# MMDetection's DETR at the size of the toy set: a quarter of R18's channels, tokens of 16 pixels
# for objects of 27 to 90, 2 layers that encode and 3 that decode 25 queries for 2 to 7 objects.
# It learns sooner by focal loss than by a softmax with a background.
attention = dict(embed_dims=128, num_heads=8, dropout=0.0, batch_first=True)
ffn = dict(
    embed_dims=128,
    feedforward_channels=512,
    num_fcs=2,
    ffn_drop=0.0,
    act_cfg=dict(type='ReLU', inplace=True))
model = dict(
    type='DETR',
    num_queries=25,
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1),
    backbone=dict(
        type='ResNet',
        depth=18,
        base_channels=16,
        num_stages=4,
        strides=(1, 2, 2, 1),
        out_indices=(3, ),
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='pytorch',
        # As others take ImageNet's: a transformer learns little from what is random below it.
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/lbw_fcos_toy_fp32/epoch_10.pth',
            prefix='backbone.')),
    neck=dict(
        type='ChannelMapper',
        in_channels=[128],
        kernel_size=1,
        out_channels=128,
        act_cfg=None,
        norm_cfg=dict(type='BN', requires_grad=True),
        num_outs=1),
    encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=ffn),
        return_intermediate=True),
    # Up to three waves across an image of 12 x 10 tokens: slower ones do not tell neighbours apart.
    positional_encoding=dict(num_feats=64, normalize=True, temperature=20, scale=18.85),
    bbox_head=dict(
        type='DETRHead',
        num_classes=80,
        embed_dims=128,
        loss_cls=dict(
            type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
        loss_iou=dict(type='GIoULoss', loss_weight=2.0),
        init_cfg=dict(  # few queries find an object
            type='Normal',
            layer='Conv2d',
            override=dict(type='Normal', name='fc_cls', std=0.01, bias_prob=0.01))),
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='FocalLossCost', weight=2.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0)
            ])),
    test_cfg=dict(max_per_img=25))
