"""DETR: every query becomes one box, and none is suppressed."""

from typing import Any

from mmdet.models import DETR, DETRHead
from mmdet.models.layers import DetrTransformerDecoder
from torch import Tensor

from lbwdet.deploy.lower.deformable_attention import as_tokens
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.places import embedding, sine_encoding_of
from lbwdet.deploy.lower.queries import Queries, decoded


@head("DETRHead", ("DETR",))
class Detr(Queries):
    """Scores and boxes of the decoder's last layer."""

    model, head, decoder = DETR, DETRHead, DetrTransformerDecoder

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        (feature,) = model.extract_feat(image)
        weight = model.query_embedding.weight
        queries = as_tokens(embedding(weight, feature, 1, len(weight)))
        places = as_tokens(sine_encoding_of(model.positional_encoding, feature))
        memory = model.encoder(query=as_tokens(feature), query_pos=places, key_padding_mask=None)
        hidden, last = decoded(model.decoder, queries, memory, places).unsqueeze(0), model.bbox_head
        return last.fc_cls(hidden), last.fc_reg(last.activate(last.reg_ffn(hidden)))
