from onnx import TensorProto

from lbwdet.deploy.onnx import rows
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.of_candidates import OfCandidates


@export.register
def of_candidates(operation: OfCandidates, values: Values) -> str:
    graph, found = values.graph, values.read(operation.candidates)
    number = graph.cast(rows.column(graph, found, 6), TensorProto.INT64)
    return graph("Gather", values.tensors[operation.input], number)
