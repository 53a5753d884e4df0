from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.multiply import Multiply


@export.register
def multiply(operation: Multiply, values: Values) -> str:
    product = values.graph("Mul", values.read(operation.input), values.read(operation.gate))
    return values.store(operation.output, product)
