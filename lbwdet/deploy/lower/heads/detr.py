"""DETR: every query becomes one box, and none is suppressed."""

from typing import Any

from mmdet.models import DETR, DETRHead
from mmdet.models.layers import DetrTransformerDecoder
from torch import Tensor

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.places import embedding, sine_encoding_of
from lbwdet.deploy.lower.queries import Queries


@head("DETRHead", ("DETR",))
class Detr(Queries):
    """Scores and boxes of the decoder's last layer."""

    model, head, decoder = DETR, DETRHead, DetrTransformerDecoder

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        (feature,) = model.extract_feat(image)
        weight = model.query_embedding.weight
        queries, places = (
            one.flatten(2).transpose(1, 2)
            for one in (
                embedding(weight, feature, 1, len(weight)),
                sine_encoding_of(model.positional_encoding, feature),
            )
        )
        tokens = feature.flatten(2).transpose(1, 2)
        memory = model.encoder(query=tokens, query_pos=places, key_padding_mask=None)
        found = queries * 0.0  # what they begin with
        for layer in model.decoder.layers:
            found = layer(
                found,
                key=memory,
                value=memory,
                query_pos=queries,
                key_pos=places,
                key_padding_mask=None,
            )
        hidden, last = model.decoder.post_norm(found).unsqueeze(0), model.bbox_head
        return last.fc_cls(hidden), last.fc_reg(last.activate(last.reg_ffn(hidden)))
