from onnx import TensorProto

from lbwdet.deploy.onnx import rows
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.masks import Masks
from lbwdet.deploy.runtime.shapes import Map


@export.register
def masks(operation: Masks, values: Values) -> str:
    graph, scores = values.graph, values.read(operation.scores)
    shape = values.shapes[operation.scores]
    assert isinstance(shape, Map)  # programs are checked
    label = rows.column(graph, values.read(operation.candidates), 5)
    label = graph("Unsqueeze", graph.cast(label, TensorProto.INT64), [1])
    if shape.channels == 1:
        label = graph("Mul", label, 0)  # one map whatever the class
    chosen = graph("GatherND", scores, label, batch_dims=1)
    return values.store(operation.output, graph("Sigmoid", graph("Unsqueeze", chosen, [1])))
