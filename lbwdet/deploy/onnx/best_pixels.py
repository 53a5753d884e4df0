from onnx import TensorProto

from lbwdet.deploy.onnx import rows
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.best_pixels import BestPixels


@export.register
def best_pixels(operation: BestPixels, values: Values) -> str:
    """The best of all, and -1 behind them."""
    graph, best = values.graph, []
    for name in operation.scores:
        scores = graph("Slice", values.read(name), [0], [operation.classes], [1])
        best.append(graph("Reshape", graph("ReduceMax", scores, axes=[1], keepdims=0), [-1]))
    together = graph("Concat", *best, axis=0)
    _, numbers = rows.best_first(graph, together, operation.count)
    missing = graph("Sub", [operation.count], graph("Shape", numbers))
    ends = graph("Concat", [0], missing, axis=0)
    padded = graph("Pad", graph.cast(numbers, TensorProto.FLOAT), ends, -1.0)
    return values.store(operation.output, graph("Reshape", padded, [1, 1, 1, operation.count]))
