from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.pad import Pad


@export.register
def pad(operation: Pad, values: Values) -> str:
    pads = [0, 0, *operation.before, 0, 0, *operation.after]
    source = values.read(operation.input)
    if operation.reflect:
        padded = values.graph("Pad", source, pads, mode="reflect")
    else:
        padded = values.graph("Pad", source, pads, operation.value)
    return values.store(operation.output, padded)
