from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.pad import Pad


@export.register
def pad(operation: Pad, values: Values) -> str:
    pads = [0, 0, *operation.before, 0, 0, *operation.after]
    padded = values.graph("Pad", values.read(operation.input), pads, operation.value)
    return values.store(operation.output, padded)
