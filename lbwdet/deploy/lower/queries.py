"""What heads do with scores and boxes of queries."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.settings import TestConfig
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.query_candidates import QueryCandidates
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.errors import ConfigError

CANDIDATES, RESCALED = "detections.candidates", "detections.rescaled"


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


def add_queries(program: Building, candidates: QueryCandidates, maps: Sequence[str]) -> None:
    """The boxes of queries, up to the detections; ``maps``: scores, and logits of boxes."""
    scores, boxes = maps
    program.add(
        replace(candidates, scores=scores, boxes=boxes),
        Rescale(CANDIDATES, RESCALED),
        Detections(RESCALED, candidates.num_classes),
    )
