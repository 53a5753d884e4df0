from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.mean import Mean


@export.register
def mean(operation: Mean, values: Values) -> str:
    return values.graph("Mean", *(values.read(name) for name in operation.inputs))
