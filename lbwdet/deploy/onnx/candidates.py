import numpy as np
from onnx import TensorProto

from lbwdet.deploy.onnx import rows
from lbwdet.deploy.onnx.coders import decode
from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.candidates import Candidates


@export.register
def candidates(operation: Candidates, values: Values) -> str:
    graph = values.graph
    levels = [_level(operation, level, values) for level in range(len(operation.scores))]
    found = graph("Concat", *(rows for rows, _ in levels), axis=0)
    if operation.together:
        scores = graph("Concat", *(scores for _, scores in levels), axis=0)
        _, best = rows.best_first(graph, scores, operation.pre_nms)
        count = graph("Shape", best)
        in_order, _ = graph.several("TopK", 2, best, count, axis=0, largest=0)
        found = graph("Gather", found, in_order)
    if operation.things:
        objects = graph("Less", rows.column(graph, found, 5), float(operation.things))
        found = graph("Gather", found, rows.where(graph, objects))
    if operation.min_size < 0:
        return found
    start, end = graph.several("Split", 2, rows.boxes(graph, found), [2, 2], axis=1)
    shorter = graph("ReduceMin", graph("Sub", end, start), axes=[1], keepdims=0)
    large = rows.where(graph, graph("Greater", shorter, float(operation.min_size)))
    return graph("Gather", found, large)


def _level(operation: Candidates, level: int, values: Values) -> tuple[str, str]:
    """Candidates [n, 7] of one level, of any size, and the scores that they were chosen by."""
    graph, classes = values.graph, operation.num_classes
    factor = _factor(operation, level, values)
    scores = _scores(operation, level, values)
    if factor is not None and operation.factor_first:
        scores = graph("Mul", scores, graph("Unsqueeze", factor, [1]))
    if operation.root:
        scores = graph("Sqrt", scores)
    counts = None
    if operation.factor_threshold >= 0:
        assert factor is not None
        above = graph("Greater", factor, float(operation.factor_threshold))
        counts = rows.where(graph, above)
        scores = graph("Gather", scores, counts)
    choose = _of_anchors if operation.whole_anchors else _best
    score, pair = choose(operation, graph, scores)
    chosen_by = score
    anchor, label = graph("Div", pair, classes), graph("Mod", pair, classes)
    if counts is not None:
        anchor = graph("Gather", counts, anchor)
    if factor is not None and not (operation.factor_first or operation.unweighted):
        score = graph("Mul", score, graph("Gather", factor, anchor))
    boxes = _boxes(operation, level, values, anchor)
    label = graph.cast(label, TensorProto.FLOAT)
    number = graph("Add", graph("Mul", label, 0.0), float(level))
    if operation.numbered:
        number = graph("Add", anchor, _first(operation, level, values))
        number = graph.cast(number, TensorProto.FLOAT)
    return rows.join(graph, boxes, score, label, number), chosen_by


def _boxes(operation: Candidates, level: int, values: Values, anchor: str) -> str:
    """Boxes [n, 4] of the anchors with these numbers."""
    graph = values.graph
    start = _anchors(operation, level, values, anchor)
    if not operation.deltas:
        return graph("Mul", start, 0.0)
    deltas = _per_anchor(graph, values.read(operation.deltas[level]), operation.coder.numbers)
    deltas = graph("Gather", deltas, anchor)
    return decode(operation.coder, values, start, deltas, operation.strides[level])


def _first(operation: Candidates, level: int, values: Values) -> str:
    """Number of a level's first anchor among those of all levels."""
    graph = values.graph
    first = graph.constant(np.int64(0))
    for before, boxes in zip(operation.scores[:level], operation.base_anchors, strict=False):
        sides = graph("Slice", graph("Shape", values.tensors[before]), [2], [4])
        pixels = graph("ReduceProd", sides, keepdims=0)
        first = graph("Add", first, graph("Mul", pixels, len(boxes)))
    return first


def _scores(operation: Candidates, level: int, values: Values) -> str:
    """Scores [anchors, classes]."""
    graph, maps = values.graph, values.read(operation.scores[level])
    if operation.activation == "softmax":
        logits = _per_anchor(graph, maps, operation.num_classes + 1)
        scores = graph("Softmax", logits, axis=1)
        return graph("Slice", scores, [0], [operation.num_classes], [1])
    logits = _per_anchor(graph, maps, operation.num_classes)
    return graph("Sigmoid", logits) if operation.activation == "sigmoid" else logits


def _factor(operation: Candidates, level: int, values: Values) -> str | None:
    """The factor [anchors], if there is one."""
    if not operation.factors:
        return None
    graph = values.graph
    logits = _per_anchor(graph, values.read(operation.factors[level]), 1)
    factor = graph("Squeeze", logits, [1])
    return factor if operation.plain_factors else graph("Sigmoid", factor)


def _best(operation: Candidates, graph: Graph, scores: str) -> tuple[str, str]:
    """Scores [n] of the best pairs of anchor and class, and the pairs' numbers.

    ``scores`` is [anchors, classes].
    """
    best = None
    if operation.best_class:
        best = graph("ArgMax", scores, axis=1, keepdims=0)
        scores = graph("ReduceMax", scores, axes=[1], keepdims=0)
    score, index = _highest(operation, graph, graph("Reshape", scores, [-1]))
    if best is None:
        return score, index
    first = graph("Mul", index, operation.num_classes)
    return score, graph("Add", first, graph("Gather", best, index))


def _of_anchors(operation: Candidates, graph: Graph, scores: str) -> tuple[str, str]:
    """All scores above the threshold of the best anchors, and the pairs' numbers."""
    highest = graph("ReduceMax", scores, axes=[1], keepdims=0)
    _, anchor = rows.best_first(graph, highest, operation.pre_nms)
    first = graph("Unsqueeze", graph("Mul", anchor, operation.num_classes), [1])
    pair = graph("Add", first, np.arange(operation.num_classes, dtype=np.int64))
    pair = graph("Reshape", pair, [-1])
    score = graph("Gather", graph("Reshape", scores, [-1]), pair)
    if operation.score_threshold is None:
        return score, pair
    above = rows.where(graph, graph("Greater", score, float(operation.score_threshold)))
    return graph("Gather", score, above), graph("Gather", pair, above)


def _highest(operation: Candidates, graph: Graph, scores: str) -> tuple[str, str]:
    """The ``pre_nms`` highest scores of [n] above the threshold, and their numbers."""
    if operation.score_threshold is None:
        return rows.best_first(graph, scores, operation.pre_nms)
    above = rows.where(graph, graph("Greater", scores, float(operation.score_threshold)))
    score, index = rows.best_first(graph, graph("Gather", scores, above), operation.pre_nms)
    return score, graph("Gather", above, index)


def _anchors(operation: Candidates, level: int, values: Values, anchor: str) -> str:
    """Boxes [n, 4] of the anchors with these numbers, which count in the order y, x, a."""
    graph, base = values.graph, np.array(operation.base_anchors[level], np.float32)
    width = graph("Gather", graph("Shape", values.tensors[operation.scores[level]]), 3)
    cell = graph("Div", anchor, len(base))
    x, y = graph("Mod", cell, width), graph("Div", cell, width)
    point = graph("Concat", *(graph("Unsqueeze", side, [1]) for side in (x, y, x, y)), axis=1)
    strides = operation.exact_strides or operation.strides
    corner = graph("Mul", graph.cast(point, TensorProto.FLOAT), float(strides[level]))
    return graph("Add", graph("Gather", base, graph("Mod", anchor, len(base))), corner)


def _per_anchor(graph: Graph, maps: str, numbers: int) -> str:
    """What a map [1, A * numbers, h, w] says of each anchor: [h * w * A, numbers]."""
    return graph("Reshape", graph("Transpose", maps, perm=(0, 2, 3, 1)), [-1, numbers])
