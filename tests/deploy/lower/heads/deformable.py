"""Settings of tiny detectors whose attention samples maps of two sizes."""

from typing import Any


def transformer(detector: str, channels: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Changes of a one-stage detector's config; ``settings``: of the detector itself."""
    own = dict(embed_dims=channels, num_heads=2, dropout=0.0, batch_first=True)
    deformable = dict(own, num_levels=2, num_points=2)
    ffn = dict(embed_dims=channels, feedforward_channels=24, num_fcs=2, act_cfg=dict(type="ReLU"))
    return {
        "detector": detector,
        "num_queries": 9,
        "num_feature_levels": 2,
        "backbone.out_indices": (2, 3),
        "neck": dict(
            _delete_=True,
            type="ChannelMapper",
            in_channels=[32, 64],
            kernel_size=1,
            out_channels=channels,
            act_cfg=None,
            num_outs=2,
        ),
        "encoder": dict(num_layers=2, layer_cfg=dict(self_attn_cfg=deformable, ffn_cfg=ffn)),
        "decoder": dict(
            num_layers=2,
            layer_cfg=dict(self_attn_cfg=own, cross_attn_cfg=deformable, ffn_cfg=ffn),
            return_intermediate=True,
            post_norm_cfg=None,
        ),
        "bbox_head": dict(
            _delete_=True,
            type=f"{detector}Head",
            num_classes=2,
            embed_dims=channels,
            loss_cls=dict(type="FocalLoss", use_sigmoid=True),
        ),
        "positional_encoding": dict(num_feats=channels // 2, normalize=True, offset=-0.5),
        "data_preprocessor.pad_size_divisor": 1,
        "train_cfg": None,
        "test_cfg": dict(_delete_=True, max_per_img=7),
        **settings,
    }
