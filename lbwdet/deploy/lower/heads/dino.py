"""DINO: queries that begin where the encoder finds something, and move from layer to layer."""

import math
from typing import Any

from mmdet.models import DINO, DINOHead
from mmdet.models.layers import DinoTransformerDecoder
from torch import Tensor

from lbwdet.deploy.lower.deformable_attention import (
    as_map,
    as_tokens,
    decoder_layer,
    encoded,
    refined,
)
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.deformable_detr import DeformableQueries
from lbwdet.deploy.lower.places import embedding
from lbwdet.deploy.lower.proposals import WAVES, box_encoding, proposed

EPS = 1e-3  # of a box before it is refined for the next layer


@head("DINOHead", ("DINO",))
class Dino(DeformableQueries):
    """Scores and boxes of the decoder's last layer."""

    model, head, decoder = DINO, DINOHead, DinoTransformerDecoder

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        head, decoder = model.bbox_head, model.decoder
        memory = encoded(model, model.extract_feat(image))
        references = proposed(model, memory, head.num_classes)
        weight, size = model.query_embedding.weight, references.shape[2:]
        queries = as_tokens(embedding(weight, memory[0], 1, len(weight)))
        for index, layer in enumerate(decoder.layers):
            before = references
            encoding = box_encoding(references, WAVES, [1, 0, 2, 3], 10000.0, 2 * math.pi)
            places = decoder.ref_point_head(as_tokens(encoding))
            queries = decoder_layer(layer, queries, places, memory, references)
            references = refined(as_map(head.reg_branches[index](queries), size), references, EPS)
            hidden = decoder.norm(queries)
            scores = head.cls_branches[index](hidden)
            deltas = as_map(head.reg_branches[index](hidden), size)
        return scores, refined(deltas, before)
