"""MaskFormer: queries of a DETR that find a mask each."""

from typing import Any

from mmdet.models.dense_heads import MaskFormerHead
from mmdet.models.layers import (
    DetrTransformerDecoder,
    PixelDecoder,
    SinePositionalEncoding,
    TransformerEncoderPixelDecoder,
)
from torch import Tensor
from torch.nn import functional as F

from lbwdet.deploy.lower.deformable_attention import as_map, as_tokens
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.places import embedding, sine_encoding_of
from lbwdet.deploy.lower.queries import check_unpadded, decoded
from lbwdet.deploy.lower.query_masks import QueryMaskHead
from lbwdet.deploy.lower.settings import check_exactly, check_type
from lbwdet.errors import ConfigError

DECODERS = (PixelDecoder, TransformerEncoderPixelDecoder)


@head("MaskFormerHead", ("MaskFormer",))
class MaskFormer(QueryMaskHead):
    """Classes and kernels of the decoder's last layer.

    Raises:
        ConfigError: images are padded in a batch, so that attention has masks; or another pixel
            decoder, decoder, encoding, or way of making masks.
    """

    def __init__(self, model: Any) -> None:
        head = model.panoptic_head
        check_type("panoptic_head", head, MaskFormerHead, "forward", "predict")
        check_unpadded(model.data_preprocessor)
        pixels = head.pixel_decoder
        if type(pixels) not in DECODERS:
            raise ConfigError(
                f"panoptic_head.pixel_decoder: {type(pixels).__name__} cannot be lowered; "
                f"supported are {' and '.join(kind.__name__ for kind in DECODERS)}"
            )
        decoder = head.transformer_decoder
        check_exactly("panoptic_head.transformer_decoder", decoder, DetrTransformerDecoder)
        check_exactly("panoptic_head.decoder_pe", head.decoder_pe, SinePositionalEncoding)
        self.read_panoptic(model, stride=1)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        """As ``MaskFormerHead.forward``, up to the product of kernels and features."""
        head = model.panoptic_head
        features, memory = _pixels(head.pixel_decoder, model.extract_feat(image))
        memory = head.decoder_input_proj(memory)
        places = as_tokens(sine_encoding_of(head.decoder_pe, memory))
        weight = head.query_embed.weight
        queries = as_tokens(embedding(weight, features, 1, len(weight)))
        found = decoded(head.transformer_decoder, queries, as_tokens(memory), places)
        hidden = found.unsqueeze(0)  # of all layers MMDetection has, the last one
        return head.cls_embed(hidden), head.mask_embed(hidden), features


def _pixels(decoder: Any, maps: Any) -> tuple[Tensor, Tensor]:
    """As the decoder's ``forward``: features of masks, and a map that queries attend to."""
    *lower, last = maps
    if isinstance(decoder, TransformerEncoderPixelDecoder):
        x = decoder.encoder_in_proj(last)
        places = as_tokens(sine_encoding_of(decoder.positional_encoding, x))
        tokens = decoder.encoder(query=as_tokens(x), query_pos=places, key_padding_mask=None)
        memory = as_map(tokens, x.shape[2:])
        found = decoder.encoder_out_proj(memory)
    else:
        memory, found = last, decoder.last_feat_conv(last)
    for index in reversed(range(len(lower))):
        lateral = decoder.lateral_convs[index](lower[index])
        found = lateral + F.interpolate(found, size=lateral.shape[2:], mode="nearest")
        found = decoder.output_convs[index](found)
    return decoder.mask_feature(found), memory
