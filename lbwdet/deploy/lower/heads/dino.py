"""DINO: queries that begin where the encoder finds something, and move from layer to layer."""

import math
from collections.abc import Sequence
from typing import Any

from mmdet.models import DINO, DETRHead, DINOHead
from mmdet.models.layers import DinoTransformerDecoder
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
from lbwdet.deploy.lower.heads.deformable_detr import check_transformer
from lbwdet.deploy.lower.places import embedding
from lbwdet.deploy.lower.proposals import WAVES, box_encoding, check_levels, proposed
from lbwdet.deploy.lower.queries import add_queries, read_queries
from lbwdet.deploy.lower.settings import check_exactly, check_type

EPS = 1e-3  # of a box before it is refined for the next layer


@head("DINOHead", ("DINO",))
class Dino(Head):
    """Scores and boxes of the decoder's last layer.

    Raises:
        ConfigError: images are padded in a batch, so that attention has masks; or another encoder,
            decoder, encoding, or way of making boxes.
    """

    def __init__(self, model: Any) -> None:
        check_type(
            "model",
            model,
            DINO,
            "forward_transformer",
            "pre_transformer",
            "forward_encoder",
            "pre_decoder",
            "forward_decoder",
            "gen_encoder_output_proposals",
        )
        check_type("bbox_head", model.bbox_head, DINOHead, "forward", "predict_by_feat")
        check_type("bbox_head", model.bbox_head, DETRHead, "_predict_by_feat_single")
        check_exactly("decoder", model.decoder, DinoTransformerDecoder)
        check_transformer(model)
        check_levels(model)
        self._candidates = read_queries(model)

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

    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        add_queries(program, self._candidates, maps)
