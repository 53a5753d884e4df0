"""Mask2Former: queries that look for their objects where their masks have been so far."""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.dense_heads import Mask2FormerHead
from mmdet.models.layers import (
    DeformableDetrTransformerEncoderLayer,
    Mask2FormerTransformerEncoder,
    MSDeformAttnPixelDecoder,
    SinePositionalEncoding,
)
from mmdet.models.layers.positional_encoding import SinePositionalEncoding3D
from mmdet.models.layers.transformer.mask2former_layers import (
    Mask2FormerTransformerDecoder,
    Mask2FormerTransformerDecoderLayer,
)
from mmdet.models.tracking_heads import Mask2FormerTrackHead
from torch import Tensor
from torch.nn import functional as F

from lbwdet.deploy.lower.deformable_attention import as_map, as_tokens, through_encoder
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.places import embedding, sine_encoding_of
from lbwdet.deploy.lower.query_masks import QueryMaskHead, query_masks, unseen
from lbwdet.deploy.lower.settings import check_exactly, check_type
from lbwdet.deploy.lower.wrapped import FRAMES

MOST_OF_FRAME = 10  # pairs that Mask2FormerTrackHead looks at


@head("Mask2FormerHead", ("Mask2Former",))
class Mask2Former(QueryMaskHead):
    """Classes and kernels of the decoder's last layer; objects, of a panoptic detector, too.

    Raises:
        ConfigError: another pixel decoder, decoder, encoding, or way of making masks.
    """

    def __init__(self, model: Any) -> None:
        head, own = model.panoptic_head, ("forward", "_forward_head", "predict")
        check_type("panoptic_head", head, Mask2FormerHead, *own)
        _check_layers("panoptic_head", head, SinePositionalEncoding)
        self.read_panoptic(model, int(head.pixel_decoder.strides[0]))

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        return _decoded(model.panoptic_head, model.extract_feat(image))


@head("Mask2FormerTrackHead", (FRAMES,))
class Mask2FormerFrames(QueryMaskHead):
    """The objects of a single image, as of a video of one frame.

    Raises:
        ConfigError: another pixel decoder, decoder, encoding, or way of making masks.
    """

    def __init__(self, model: Any) -> None:
        head, own = model.track_head, ("forward", "_forward_head", "predict", "predict_by_feat")
        check_type("track_head", head, Mask2FormerTrackHead, *own)
        _check_layers("track_head", head, SinePositionalEncoding3D)
        stride, classes = int(head.pixel_decoder.strides[0]), int(head.num_classes)
        self.read(model.data_preprocessor, classes, classes, MOST_OF_FRAME, stride, scored=False)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        return _decoded(model.track_head, model.backbone(image))


def _check_layers(name: str, head: Any, encoding: type) -> None:
    """Raises ConfigError if decoders, layers or encodings are others than Mask2Former's."""
    pixels, decoder = head.pixel_decoder, head.transformer_decoder
    check_type(f"{name}.pixel_decoder", pixels, MSDeformAttnPixelDecoder, "forward")
    own = f"{name}.pixel_decoder.encoder"
    check_exactly(own, pixels.encoder, Mask2FormerTransformerEncoder)
    for layer in pixels.encoder.layers:
        check_exactly(f"{own}.layers", layer, DeformableDetrTransformerEncoderLayer)
        check_exactly(f"{own}.layers", layer.self_attn, MultiScaleDeformableAttention)
    given = pixels.postional_encoding
    check_exactly(f"{name}.pixel_decoder.postional_encoding", given, SinePositionalEncoding)
    check_exactly(f"{name}.transformer_decoder", decoder, Mask2FormerTransformerDecoder)
    for layer in decoder.layers:
        layers = f"{name}.transformer_decoder.layers"
        check_exactly(layers, layer, Mask2FormerTransformerDecoderLayer)
    given = head.decoder_positional_encoding
    check_exactly(f"{name}.decoder_positional_encoding", given, encoding)


def _decoded(head: Any, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """As ``Mask2FormerHead.forward``, up to the product of kernels and features."""
    features, levels = _pixels(head.pixel_decoder, maps)
    smaller = [F.interpolate(features, size=x.shape[2:], mode="bilinear") for x in levels]
    keys, of_keys = [], []
    for x, layer, level in zip(
        levels, head.decoder_input_projs, head.level_embed.weight, strict=False
    ):
        keys.append(as_tokens(layer(x)) + level)
        of_keys.append(places_of(head.decoder_positional_encoding, x))
    found, of_queries = (
        as_tokens(embedding(each.weight, features, 1, len(each.weight)))
        for each in (head.query_feat, head.query_embed)
    )
    scores, kernels = _predicted(head, found)
    for index, layer in enumerate(head.transformer_decoder.layers):
        level = index % len(levels)
        masks = query_masks(as_map(kernels, (1, kernels.shape[1])), smaller[level])
        found = layer(
            found,
            key=keys[level],
            value=keys[level],
            query_pos=of_queries,
            key_pos=of_keys[level],
            cross_attn_mask=unseen(masks),
        )
        scores, kernels = _predicted(head, found)
    return scores, kernels, features


def _predicted(head: Any, queries: Tensor) -> tuple[Tensor, Tensor]:
    hidden = head.transformer_decoder.post_norm(queries)
    return head.cls_embed(hidden), head.mask_embed(hidden)


def _pixels(decoder: Any, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """As ``MSDeformAttnPixelDecoder.forward``: features of masks, and maps, the smallest first."""
    count = decoder.num_encoder_levels
    inputs = [conv(maps[-1 - i]) for i, conv in enumerate(decoder.input_convs)]
    encoding, levels = decoder.postional_encoding, decoder.level_encoding.weight
    found = through_encoder(decoder.encoder, encoding, levels, inputs)
    for index in reversed(range(len(maps) - count)):
        lateral = decoder.lateral_convs[index](maps[index])
        above = F.interpolate(found[-1], size=lateral.shape[2:], mode="bilinear")
        found.append(decoder.output_convs[index](lateral + above))
    return decoder.mask_feature(found[-1]), found[: decoder.num_outs]


def places_of(encoding: Any, like: Tensor) -> Tensor:
    """Where pixels are; of a frame, where it is in a video of one, too."""
    places = as_tokens(sine_encoding_of(encoding, like))
    if not isinstance(encoding, SinePositionalEncoding3D):
        return places
    channel, count = torch.arange(2 * encoding.num_feats), 2 * encoding.num_feats
    time = 1.0
    if encoding.normalize:
        time = (1 + encoding.offset) / (1 + encoding.eps) * encoding.scale
    angle = time / encoding.temperature ** (channel // 2 * 2 / count)
    return places + torch.where(channel % 2 == 1, angle.cos(), angle.sin())
