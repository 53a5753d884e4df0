import numpy as np

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.affine import Affine


@export.register
def affine(operation: Affine, values: Values) -> str:
    graph = values.graph
    gain, bias = (
        np.array(numbers, np.float32)[:, None, None] for numbers in (operation.gain, operation.bias)
    )
    real = graph("Add", graph("Mul", values.read(operation.input), gain), bias)
    return values.store(operation.output, graph("Relu", real) if operation.relu else real)
