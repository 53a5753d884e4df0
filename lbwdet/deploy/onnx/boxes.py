"""Decoding, proposals and detections with standard operators, in float32."""

import math
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations import BoxCoder, Detections, Proposals

_NO_THRESHOLD = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class ImageSize:
    """Names of float32 scalars.

    Attributes:
        height, width: of the resized image before padding.
        factor_y, factor_x: from its pixels to those of the given image.
    """

    height: str
    width: str
    factor_y: str
    factor_x: str


def decode(graph: Graph, coder: BoxCoder, boxes: str, deltas: str, size: ImageSize) -> str:
    """Boxes [..., 4] moved and stretched by deltas [..., 4], clamped to the image."""
    if coder.stds != (1.0,) * 4:
        deltas = graph("Mul", deltas, np.array(coder.stds, np.float32))
    if coder.means != (0.0,) * 4:
        deltas = graph("Add", deltas, np.array(coder.means, np.float32))
    ones = [1, 1, 1, 1]
    x1, y1, x2, y2 = graph.several("Split", 4, boxes, ones, axis=-1)
    dx, dy, dw, dh = graph.several("Split", 4, deltas, ones, axis=-1)
    largest = abs(math.log(coder.max_ratio))
    low: list[str] = []
    high: list[str] = []
    for first, second, move, stretch, length in (
        (x1, x2, dx, dw, size.width),
        (y1, y2, dy, dh, size.height),
    ):
        extent = graph("Sub", second, first)
        center = graph("Mul", graph("Add", first, second), 0.5)
        center = graph("Add", center, graph("Mul", extent, move))
        grown = graph("Mul", extent, graph("Exp", graph("Clip", stretch, -largest, largest)))
        half = graph("Mul", grown, 0.5)
        for sides, side in ((low, "Sub"), (high, "Add")):
            inside = graph("Max", graph(side, center, half), 0.0)
            sides.append(graph("Min", inside, length))
    return graph("Concat", *low, *high, axis=-1)


def proposals(graph: Graph, operation: Proposals, values: Values, size: ImageSize) -> None:
    """Writes ``operation.output``: float32 [n, 4], best first."""
    boxes, logits = [], []
    for level in range(len(operation.scores)):
        level_boxes, level_logits = _level(graph, operation, level, values, size)
        chosen = graph(
            "NonMaxSuppression",
            graph("Unsqueeze", level_boxes, [0]),
            graph("Unsqueeze", level_logits, [0, 1]),
            np.array([operation.max_boxes], np.int64),
            np.array([operation.iou_threshold], np.float32),
            np.array([_NO_THRESHOLD], np.float32),
        )
        chosen = graph("Gather", chosen, 2, axis=1)
        boxes.append(graph("Gather", level_boxes, chosen))
        logits.append(graph("Gather", level_logits, chosen))
    every, scores = graph("Concat", *boxes, axis=0), graph("Concat", *logits, axis=0)
    _, best = best_first(graph, scores, operation.max_boxes)
    values.write(operation.output, graph("Gather", every, best))


def _level(
    graph: Graph, operation: Proposals, level: int, values: Values, size: ImageSize
) -> tuple[str, str]:
    """Boxes [k, 4] and logits [k] of the best anchors of one level."""
    scores = values.read(operation.scores[level])
    base = np.array(operation.base_anchors[level], np.float32)
    logits, index = best_first(
        graph, graph("Reshape", _channels_last(graph, scores), [-1]), operation.pre_nms
    )
    every_delta = _channels_last(graph, values.read(operation.deltas[level]))
    deltas = graph("Gather", graph("Reshape", every_delta, [-1, 4]), index)
    # Anchors of the chosen indices only, which count in the order y, x, a.
    width = graph("Gather", graph("Shape", scores), 3)
    cell = graph("Div", index, len(base))
    x, y = graph("Mod", cell, width), graph("Div", cell, width)
    point = graph("Concat", *(graph("Unsqueeze", side, [1]) for side in (x, y, x, y)), axis=1)
    corner = graph("Mul", graph.cast(point, TensorProto.FLOAT), float(operation.strides[level]))
    anchors = graph("Add", graph("Gather", base, graph("Mod", index, len(base))), corner)
    boxes = decode(graph, operation.coder, anchors, deltas, size)
    if operation.min_size < 0:
        return boxes, logits
    x1, y1, x2, y2 = graph.several("Split", 4, boxes, [1, 1, 1, 1], axis=1)
    shorter = graph("Min", graph("Sub", x2, x1), graph("Sub", y2, y1))
    large = graph("Greater", graph("Squeeze", shorter, [1]), float(operation.min_size))
    kept = graph("Squeeze", graph("NonZero", large), [0])
    return graph("Gather", boxes, kept), graph("Gather", logits, kept)


def detections(
    graph: Graph, operation: Detections, values: Values, size: ImageSize
) -> tuple[str, str, str]:
    """Boxes [m, 4], scores [m] and labels [m], best first."""
    classes = operation.num_classes
    probability = graph("Softmax", values.read(operation.scores), axis=1)
    probability = graph("Slice", probability, [0], [classes], [1])
    deltas = graph("Reshape", values.read(operation.deltas), [0, -1, 4])
    start = graph("Unsqueeze", values.read(operation.boxes), [1])
    boxes = decode(graph, operation.coder, start, deltas, size)
    factors = graph(
        "Concat",
        *(
            graph("Unsqueeze", factor, [0])
            for factor in (size.factor_x, size.factor_y, size.factor_x, size.factor_y)
        ),
        axis=0,
    )
    boxes = graph("Transpose", graph("Mul", boxes, factors), perm=(1, 0, 2))  # [C or 1, n, 4]
    if operation.class_agnostic and classes > 1:
        boxes = graph("Concat", *[boxes] * classes, axis=0)
    scores = graph("Transpose", probability, perm=(1, 0))  # [C, n]
    # Every class is an image of its own to the operator: its boxes are its own, too.
    chosen = graph(
        "NonMaxSuppression",
        boxes,
        graph("Unsqueeze", scores, [1]),
        np.array([operation.max_boxes], np.int64),
        np.array([operation.iou_threshold], np.float32),
        np.array([operation.score_threshold], np.float32),
    )
    pair = graph("Gather", chosen, np.array([0, 2]), axis=1)
    found, best = best_first(graph, graph("GatherND", scores, pair), operation.max_boxes)
    pair = graph("Gather", pair, best)
    return graph("GatherND", boxes, pair), found, graph("Gather", pair, 0, axis=1)


def best_first(graph: Graph, scores: str, count: int) -> tuple[str, str]:
    """The ``count`` largest scores of [n], or all; and their indices."""
    number = graph("Min", graph("Shape", scores), np.array([count], np.int64))
    best, index = graph.several("TopK", 2, scores, number, axis=0)
    return best, index


def _channels_last(graph: Graph, tensor: str) -> str:
    return graph("Transpose", tensor, perm=(0, 2, 3, 1))
