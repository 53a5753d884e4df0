"""Deformable DETR: queries that sample maps of several sizes where their boxes are."""

import math
from collections.abc import Sequence
from typing import Any

from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models import DeformableDETR, DeformableDETRHead, DETRHead, SinePositionalEncoding
from mmdet.models.layers import (
    DeformableDetrTransformerDecoder,
    DeformableDetrTransformerDecoderLayer,
    DeformableDetrTransformerEncoder,
    DeformableDetrTransformerEncoderLayer,
)
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.deformable_attention import (
    as_map,
    as_tokens,
    decoder_layer,
    encoded,
    refined,
)
from lbwdet.deploy.lower.head import Head, head
from lbwdet.deploy.lower.places import embedding
from lbwdet.deploy.lower.proposals import WAVES, box_encoding, check_levels, proposed
from lbwdet.deploy.lower.queries import add_queries, read_queries
from lbwdet.deploy.lower.settings import check_exactly, check_type


@head("DeformableDETRHead", ("DeformableDETR",))
class DeformableDetr(Head):
    """Scores and boxes of the decoder's last layer.

    Raises:
        ConfigError: images are padded in a batch, so that attention has masks; or another encoder,
            decoder, encoding, or way of making boxes.
    """

    def __init__(self, model: Any) -> None:
        check_type(
            "model",
            model,
            DeformableDETR,
            "forward_transformer",
            "pre_transformer",
            "forward_encoder",
            "pre_decoder",
            "forward_decoder",
            "gen_encoder_output_proposals",
            "get_proposal_pos_embed",
        )
        check_type("bbox_head", model.bbox_head, DeformableDETRHead, "forward", "predict_by_feat")
        check_type("bbox_head", model.bbox_head, DETRHead, "_predict_by_feat_single")
        check_exactly("decoder", model.decoder, DeformableDetrTransformerDecoder)
        check_transformer(model)
        if model.as_two_stage:
            check_levels(model)
        self._candidates = read_queries(model)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        head, memory = model.bbox_head, encoded(model, model.extract_feat(image))
        begin = _from_proposals if model.as_two_stage else _learned
        places, queries, references = begin(model, memory)
        size = references.shape[2:]
        for index, layer in enumerate(model.decoder.layers):
            before = references
            queries = decoder_layer(layer, queries, places, memory, references)
            if model.with_box_refine:
                deltas = as_map(head.reg_branches[index](queries), size)
                references = refined(deltas, references)
            scores = head.cls_branches[index](queries)
            deltas = as_map(head.reg_branches[index](queries), size)
        return scores, refined(deltas, before)

    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        add_queries(program, self._candidates, maps)


def _learned(model: Any, memory: Sequence[Tensor]) -> tuple[Any, Any, Tensor]:
    """Places and queries, [1, q, channels], and logits of references, [1, 2, 1, q]."""
    weight = model.query_embedding.weight
    both = as_tokens(embedding(weight, memory[0], 1, len(weight)))
    places, queries = both.split(model.embed_dims, dim=2)
    return places, queries, as_map(model.reference_points_fc(places), (1, len(weight)))


def _from_proposals(model: Any, memory: Sequence[Tensor]) -> tuple[Any, Any, Tensor]:
    """The same, with references [1, 4, 1, q], where the encoder finds something."""
    references = proposed(model, memory, classes=1)
    encoding = box_encoding(references, WAVES, [0, 1, 2, 3], 10000.0, 2 * math.pi)
    both = model.pos_trans_norm(model.pos_trans_fc(as_tokens(encoding)))
    places, queries = both.split(model.embed_dims, dim=2)
    return places, queries, references


def check_transformer(model: Any) -> None:
    """Raises ConfigError if encoder, layers or encoding are others than Deformable DETR's."""
    check_exactly("positional_encoding", model.positional_encoding, SinePositionalEncoding)
    check_exactly("encoder", model.encoder, DeformableDetrTransformerEncoder)
    for name, coder, kind in (
        ("encoder", model.encoder, DeformableDetrTransformerEncoderLayer),
        ("decoder", model.decoder, DeformableDetrTransformerDecoderLayer),
    ):
        for layer in coder.layers:
            check_exactly(f"{name}.layers", layer, kind)
            attention = layer.self_attn if name == "encoder" else layer.cross_attn
            check_exactly(f"{name}.layers", attention, MultiScaleDeformableAttention)
