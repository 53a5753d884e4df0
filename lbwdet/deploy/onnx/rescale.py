import numpy as np

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.rescale import Rescale


@export.register
def rescale(operation: Rescale, values: Values) -> str:
    graph = values.graph
    others = np.ones(3, np.float32)
    factors = graph("Concat", values.factor, values.factor, others, axis=0)
    return graph("Mul", values.read(operation.input), factors)
