"""What the heads of detectors with queries have in common."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from mmdet.models import DETRHead, SinePositionalEncoding
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.head import Head
from lbwdet.deploy.lower.settings import TestConfig, check_exactly, check_type
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.query_candidates import QueryCandidates
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.errors import ConfigError

CANDIDATES, RESCALED = "detections.candidates", "detections.rescaled"


class Queries(Head):
    """``dense``: scores of the queries, and logits of their boxes, of the decoder's last layer.

    Raises:
        ConfigError: images are padded in a batch, so that attention has masks; or another decoder,
            encoding, or way of making boxes.
    """

    model: ClassVar[type]
    head: ClassVar[type]
    decoder: ClassVar[type]
    methods: ClassVar[tuple[str, ...]] = (
        "forward_transformer",
        "pre_transformer",
        "forward_encoder",
        "pre_decoder",
        "forward_decoder",
    )
    """What ``dense`` does instead; a detector that has another of these of ``model`` is refused."""

    def __init__(self, model: Any) -> None:
        check_type("model", model, self.model, *self.methods)
        check_type("bbox_head", model.bbox_head, self.head, "forward", "predict_by_feat")
        check_type("bbox_head", model.bbox_head, DETRHead, "_predict_by_feat_single")
        check_exactly("decoder", model.decoder, self.decoder)
        check_exactly("positional_encoding", model.positional_encoding, SinePositionalEncoding)
        self._candidates = read_queries(model)

    def add_to(self, program: Building, maps: Sequence[str], among: str | None = None) -> None:
        """As any head's; ``among``: name of the numbers of queries that count, if not all do."""
        scores, boxes = maps
        program.add(
            replace(self._candidates, scores=scores, boxes=boxes, among=among),
            Rescale(CANDIDATES, RESCALED),
            Detections(RESCALED, self._candidates.num_classes),
        )


def read_queries(model: Any) -> QueryCandidates:
    """How a ``DetectionTransformer`` chooses boxes; its operation, without what it reads.

    Raises:
        ConfigError: images are padded in a batch, so that attention has masks.
    """
    check_unpadded(model.data_preprocessor)
    queries, config = int(model.num_queries), TestConfig("test_cfg", model.bbox_head.test_cfg)
    return QueryCandidates(
        scores="",
        boxes="",
        output=CANDIDATES,
        num_classes=int(model.bbox_head.num_classes),
        max_boxes=int(config.number("max_per_img", queries)),
        activation="sigmoid" if model.bbox_head.loss_cls.use_sigmoid else "softmax",
    )


def check_unpadded(preprocessor: Any) -> None:
    """Raises ConfigError if images are padded in a batch, so that attention has masks."""
    if (divisor := preprocessor.pad_size_divisor) != 1:
        raise ConfigError(
            f"data_preprocessor.pad_size_divisor={divisor} cannot be lowered: attention would "
            "need to know which pixels were added; give 1"
        )


def decoded(decoder: Any, queries: Tensor, memory: Tensor, places: Tensor) -> Any:
    """What the queries of a ``DetrTransformerDecoder`` have found.

    Args:
        decoder: the module.
        queries: [1, q, channels].
        memory, places: of pixels, [1, pixels, channels].
    """
    found = queries * 0.0  # what they begin with
    for layer in decoder.layers:
        found = layer(
            found,
            key=memory,
            value=memory,
            query_pos=queries,
            key_pos=places,
            key_padding_mask=None,
        )
    return decoder.post_norm(found)
