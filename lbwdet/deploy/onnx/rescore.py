from onnx import TensorProto

from lbwdet.deploy.onnx import rows
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.rescore import Rescore


@export.register
def rescore(operation: Rescore, values: Values) -> str:
    graph, given = values.graph, values.read(operation.input)
    score, label, level = (rows.column(graph, given, index) for index in (4, 5, 6))
    chosen = graph("Unsqueeze", graph.cast(label, TensorProto.INT64), [1])
    factors = graph("Flatten", values.read(operation.factors))
    factor = graph("GatherND", factors, chosen, batch_dims=1)
    return rows.join(graph, rows.boxes(graph, given), graph("Mul", score, factor), label, level)
