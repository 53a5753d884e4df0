import math

import numpy as np

from lbwdet.deploy.onnx.inner_pixels import is_inner, middles
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.proposal_boxes import OUTSIDE, ProposalBoxes


@export.register
def proposal_boxes(operation: ProposalBoxes, values: Values) -> str:
    graph, deltas = values.graph, values.read(operation.deltas)
    down, across = (
        graph("Log", graph("Div", place, graph("Sub", 1.0, place)))
        for place in middles(graph, deltas)
    )
    x, y, sides = graph.several("Split", 3, deltas, [1, 1, 2], axis=1)
    side = math.log(operation.side / (1 - operation.side))
    moved = [graph("Add", *pair) for pair in ((x, across), (y, down), (sides, side))]
    inner = is_inner(graph, deltas, operation.margin)
    whole = graph("Where", inner, graph("Concat", *moved, axis=1), np.float32(OUTSIDE))
    return values.store(operation.output, whole)
