import numpy as np

from lbwdet.deploy.onnx import rows
from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.vote import Vote


@export.register
def vote(operation: Vote, values: Values) -> str:
    """All candidates against all voters, [n, m] numbers; float32 throughout."""
    graph, found = values.graph, values.read(operation.input)
    voters = values.read(operation.voters)
    own, others = rows.boxes(graph, found), rows.boxes(graph, voters)
    iou = _overlaps(graph, own, others)
    same = graph("Equal", _down(graph, rows.column(graph, found, 5)), rows.column(graph, voters, 5))
    near = graph("And", same, graph("Greater", iou, float(operation.iou_threshold)))
    apart = graph("Sub", 1.0, iou)
    near_ones = graph("Exp", graph("Mul", graph("Mul", apart, apart), -1 / operation.sharpness))
    weights = graph("Mul", near_ones, rows.column(graph, voters, 4))
    weights = graph("Where", near, weights, np.zeros(1, np.float32))
    total = graph("ReduceSum", weights, [1], keepdims=1)
    mean = graph("Div", graph("MatMul", weights, others), total)
    boxes = graph("Where", graph("Greater", total, 0.0), mean, own)
    return graph("Concat", boxes, graph("Slice", found, [4], [7], [1]), axis=1)


def _overlaps(graph: Graph, own: str, others: str) -> str:
    """Intersection over union of boxes [n, 4] and [m, 4]: [n, m]."""
    sides = []
    for axis in (0, 1):
        ends = [rows.column(graph, others, axis + end) for end in (0, 2)]
        mine = [_down(graph, rows.column(graph, own, axis + end)) for end in (0, 2)]
        overlap = graph("Sub", graph("Min", mine[1], ends[1]), graph("Max", mine[0], ends[0]))
        lengths = [graph("Sub", pair[1], pair[0]) for pair in (mine, ends)]
        sides.append((graph("Max", overlap, 0.0), *lengths))
    shared, area, areas = (graph("Mul", *pair) for pair in zip(*sides, strict=True))
    return graph("Div", shared, graph("Sub", graph("Add", area, areas), shared))


def _down(graph: Graph, column: str) -> str:
    """A column [n] as [n, 1]."""
    return graph("Unsqueeze", column, [1])
