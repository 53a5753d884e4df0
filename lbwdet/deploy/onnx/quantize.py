from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.quantize import Quantize


@export.register
def quantize(operation: Quantize, values: Values) -> str:
    return values.store(operation.output, values.read(operation.input))
