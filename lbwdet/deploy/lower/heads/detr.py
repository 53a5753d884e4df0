"""DETR: every query becomes one box, and none is suppressed."""

from collections.abc import Sequence
from typing import Any

from mmdet.models import DETR, DETRHead, SinePositionalEncoding
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.deformable_attention import as_tokens
from lbwdet.deploy.lower.head import Head, head
from lbwdet.deploy.lower.places import embedding, sine_encoding_of
from lbwdet.deploy.lower.queries import add_queries, decoded, read_queries
from lbwdet.deploy.lower.settings import check_exactly, check_type


@head("DETRHead", ("DETR",))
class Detr(Head):
    """Scores and boxes of the decoder's last layer.

    Raises:
        ConfigError: images are padded in a batch, so that attention has masks; or another decoder,
            encoding, or way of making boxes.
    """

    def __init__(self, model: Any) -> None:
        own = ("forward_transformer", "pre_transformer", "forward_encoder", "pre_decoder")
        check_type("model", model, DETR, *own, "forward_decoder")
        check_type("bbox_head", model.bbox_head, DETRHead, "forward", "predict_by_feat")
        check_type("bbox_head", model.bbox_head, DETRHead, "_predict_by_feat_single")
        check_exactly("positional_encoding", model.positional_encoding, SinePositionalEncoding)
        self._candidates = read_queries(model)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        (feature,) = model.extract_feat(image)
        weight = model.query_embedding.weight
        queries = as_tokens(embedding(weight, feature, 1, len(weight)))
        places = as_tokens(sine_encoding_of(model.positional_encoding, feature))
        memory = model.encoder(query=as_tokens(feature), query_pos=places, key_padding_mask=None)
        hidden, last = decoded(model.decoder, queries, memory, places).unsqueeze(0), model.bbox_head
        return last.fc_cls(hidden), last.fc_reg(last.activate(last.reg_ffn(hidden)))

    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        add_queries(program, self._candidates, maps)
