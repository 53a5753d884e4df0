from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.concat import Concat


@export.register
def concat(operation: Concat, values: Values) -> str:
    maps = [values.read(name) for name in operation.inputs]
    return values.store(operation.output, values.graph("Concat", *maps, axis=1))
