import numpy as np

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.l2_norm import L2Norm


@export.register
def l2_norm(operation: L2Norm, values: Values) -> str:
    graph, x = values.graph, values.read(operation.input)
    length = graph("Sqrt", graph("ReduceSum", graph("Mul", x, x), [1], keepdims=1))
    weight = np.array(operation.weight, np.float32)[:, None, None]
    unit = graph("Div", x, graph("Add", length, operation.eps))
    return values.store(operation.output, graph("Mul", unit, weight))
