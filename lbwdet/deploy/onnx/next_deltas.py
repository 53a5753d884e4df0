from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.next_deltas import LARGEST, NextDeltas


@export.register
def next_deltas(operation: NextDeltas, values: Values) -> str:
    graph = values.graph
    (a, c), (b, d) = (
        graph.several("Split", 2, values.read(name), [2, 2], axis=1)
        for name in (operation.first, operation.second)
    )
    stretch = graph("Clip", c, operation.least, float(LARGEST))
    shift = graph("Add", a, graph("Mul", graph("Exp", stretch), b))
    return values.store(operation.output, graph("Concat", shift, graph("Add", stretch, d), axis=1))
