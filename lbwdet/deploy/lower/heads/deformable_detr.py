"""Deformable DETR: queries that sample maps of several sizes where their boxes are."""

import math
from collections.abc import Sequence
from typing import Any

from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models import DeformableDETR, DeformableDETRHead
from mmdet.models.layers import (
    DeformableDetrTransformerDecoder,
    DeformableDetrTransformerDecoderLayer,
    DeformableDetrTransformerEncoder,
    DeformableDetrTransformerEncoderLayer,
)
from torch import Tensor

from lbwdet.deploy.lower.deformable_attention import (
    as_map,
    as_tokens,
    decoder_layer,
    encoded,
    refined,
)
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.places import embedding
from lbwdet.deploy.lower.proposals import WAVES, box_encoding, check_levels, proposed
from lbwdet.deploy.lower.queries import Queries
from lbwdet.deploy.lower.settings import check_exactly


class DeformableQueries(Queries):
    """Those whose attention samples several maps.

    Raises:
        ConfigError: another encoder, or layers that compute something else, too.
    """

    methods = (*Queries.methods, "gen_encoder_output_proposals")

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        check_exactly("encoder", model.encoder, DeformableDetrTransformerEncoder)
        for name, coder, kind in (
            ("encoder", model.encoder, DeformableDetrTransformerEncoderLayer),
            ("decoder", model.decoder, DeformableDetrTransformerDecoderLayer),
        ):
            for layer in coder.layers:
                check_exactly(f"{name}.layers", layer, kind)
                attention = layer.self_attn if name == "encoder" else layer.cross_attn
                check_exactly(f"{name}.layers", attention, MultiScaleDeformableAttention)
        if model.as_two_stage:
            check_levels(model)


@head("DeformableDETRHead", ("DeformableDETR",))
class DeformableDetr(DeformableQueries):
    """Scores and boxes of the decoder's last layer."""

    model, head = DeformableDETR, DeformableDETRHead
    decoder = DeformableDetrTransformerDecoder
    methods = (*DeformableQueries.methods, "get_proposal_pos_embed")

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
