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
    if shape.channels > 1:
        label = rows.column(graph, values.read(operation.candidates), 5)
        label = graph("Unsqueeze", graph.cast(label, TensorProto.INT64), [1])
        scores = graph("Unsqueeze", graph("GatherND", scores, label, batch_dims=1), [1])
    return graph("Sigmoid", scores)
