from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.maximum import Maximum


@export.register
def maximum(operation: Maximum, values: Values) -> str:
    first, second = values.read(operation.first), values.read(operation.second)
    return values.store(operation.output, values.graph("Max", first, second))
