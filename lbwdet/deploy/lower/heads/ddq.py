"""DDQ DETR: queries whose boxes do not overlap, chosen anew behind every layer."""

import math
from collections.abc import Sequence
from typing import Any

from mmdet.models import DDQDETR, DDQDETRHead
from mmdet.models.layers import DDQTransformerDecoder
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.deformable_attention import (
    as_map,
    as_tokens,
    decoder_layer,
    encoded,
    refined,
)
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.deformable_detr import DeformableQueries
from lbwdet.deploy.lower.heads.dino import EPS
from lbwdet.deploy.lower.proposals import (
    box_encoding,
    chosen_pixels,
    distinct_pixels,
    proposals,
)
from lbwdet.deploy.runtime.operations.distinct_pixels import DistinctPixels
from lbwdet.errors import ConfigError


@head("DDQDETRHead", ("DDQDETR",))
class Ddq(DeformableQueries):
    """Scores and boxes of the decoder's last layer, of the queries that are distinct before it.

    Raises:
        ConfigError: another suppression, or only one layer.
    """

    model, head, decoder = DDQDETR, DDQDETRHead, DDQTransformerDecoder

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        settings = dict(model.dqs_cfg)
        if set(settings) != {"type", "iou_threshold"} or settings["type"] != "nms":
            raise ConfigError(
                f"dqs_cfg={settings} cannot be lowered; supported is "
                "dict(type='nms', iou_threshold=...)"
            )
        if model.decoder.num_layers < 2:
            raise ConfigError("decoder.num_layers=1 cannot be lowered; give 2 at least")

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        head, decoder = model.bbox_head, model.decoder
        overlap, count = float(model.dqs_cfg["iou_threshold"]), int(model.num_queries)
        memory = encoded(model, model.extract_feat(image))
        scores, boxes = proposals(model, memory)
        numbers = distinct_pixels(scores, boxes, count, overlap)
        references = chosen_pixels(boxes, numbers)
        contents = [as_map(model.query_map(as_tokens(x)), x.shape[2:]) for x in memory]
        queries, size = as_tokens(chosen_pixels(contents, numbers)), references.shape[2:]
        kept = None
        for index, layer in enumerate(decoder.layers):
            before = references
            waves = model.embed_dims // 2
            encoding = box_encoding(references, waves, [1, 0, 2, 3], 10000.0, 2 * math.pi)
            places = decoder.ref_point_head(as_tokens(encoding))
            queries = decoder_layer(layer, queries, places, memory, references, kept)
            references = refined(as_map(head.reg_branches[index](queries), size), references, EPS)
            if index < decoder.num_layers - 1:
                found = as_map(head.cls_branches[index](queries), size)
                kept = distinct_pixels([found], [references], count, overlap, kept)
        hidden = decoder.norm(queries)
        deltas = as_map(head.reg_branches[index](hidden), size)
        return head.cls_branches[index](hidden), refined(deltas, before)

    def add_to(self, program: Building, maps: Sequence[str], among: str | None = None) -> None:
        *_, last = (o.output for o in program.operations if isinstance(o, DistinctPixels))
        super().add_to(program, maps, last)
