"""Settings of tiny detectors whose queries find masks."""

from typing import Any

import torch

from lbwdet.testing import tiny_config
from lbwdet.training.build import build_model

CHANNELS, QUERIES = 16, 12
ATTENTION = dict(embed_dims=CHANNELS, num_heads=2, dropout=0.0, batch_first=True)
FFN = dict(
    embed_dims=CHANNELS, feedforward_channels=24, num_fcs=2, act_cfg=dict(type="ReLU", inplace=True)
)
PLACES = dict(num_feats=CHANNELS // 2, normalize=True)
LAYER = dict(self_attn_cfg=ATTENTION, cross_attn_cfg=ATTENTION, ffn_cfg=FFN)


def settings(things: int, stuff: int) -> dict[str, Any]:
    """Of any such head, up to its decoders."""
    return dict(
        in_channels=[8, 16, 32, 64],
        feat_channels=CHANNELS,
        out_channels=CHANNELS,
        num_things_classes=things,
        num_stuff_classes=stuff,
        num_queries=QUERIES,
        positional_encoding=PLACES,
        transformer_decoder=dict(return_intermediate=True, num_layers=4, layer_cfg=LAYER),
        loss_cls=dict(type="CrossEntropyLoss", class_weight=[1.0] * (things + stuff + 1)),
        loss_mask=dict(type="CrossEntropyLoss", use_sigmoid=True),
        loss_dice=dict(type="DiceLoss", naive_dice=True),
    )


def mask2former(things: int = 2, stuff: int = 0) -> dict[str, Any]:
    """A Mask2FormerHead; attention goes to maps of three sizes, the first a second time."""
    deformable = dict(ATTENTION, num_levels=3, num_points=2)
    return dict(
        settings(things, stuff),
        type="Mask2FormerHead",
        strides=[4, 8, 16, 32],
        num_transformer_feat_level=3,
        pixel_decoder=dict(
            type="MSDeformAttnPixelDecoder",
            num_outs=3,
            norm_cfg=dict(type="GN", num_groups=4),
            encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=deformable, ffn_cfg=FFN)),
            positional_encoding=PLACES,
        ),
    )


def maskformer(things: int = 2, stuff: int = 0, **pixel_decoder: Any) -> dict[str, Any]:
    """A MaskFormerHead, whose pixel decoder has an encoder unless another is given."""
    encoder = dict(num_layers=1, layer_cfg=dict(self_attn_cfg=ATTENTION, ffn_cfg=FFN))
    with_encoder = dict(
        type="TransformerEncoderPixelDecoder", encoder=encoder, positional_encoding=PLACES
    )
    return dict(
        settings(things, stuff),
        type="MaskFormerHead",
        enforce_decoder_input_project=True,
        pixel_decoder=dict(pixel_decoder or with_encoder, norm_cfg=dict(type="GN", num_groups=4)),
    )


def build(tiny: Any, detector: str, head: dict[str, Any], **model: Any) -> Any:
    """A detector of 5 bits with random weights; ``model``: more of its settings."""
    config = tiny_config(
        "unused", "unused", model="retinanet_r50_fpn", quant=dict(weight=dict(bit_width=5))
    )
    for name in ("bbox_head", "neck", "train_cfg", "test_cfg"):
        config.model.pop(name)
    config.model.detector = detector
    config.model.backbone.out_indices = (0, 1, 2, 3)
    for name, given in model.items():  # update() would merge them with what is there
        config.model[name] = given
    if "track_head" not in model:
        config.model.panoptic_head = head
        config.model.panoptic_fusion_head = dict(
            type="MaskFormerFusionHead",
            num_things_classes=head["num_things_classes"],
            num_stuff_classes=head["num_stuff_classes"],
        )
    torch.manual_seed(0)
    built: Any = build_model(config).eval()
    tiny.randomize_(built)
    return built
