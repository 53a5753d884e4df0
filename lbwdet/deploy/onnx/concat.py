from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.concat import Concat


@export.register
def concat(operation: Concat, values: Values) -> str:
    # Each by itself: OpenVINO 2026.4 mixes up zero points that differ.
    stored = [values.in_integers_of(operation.output, name) for name in operation.inputs]
    return values.graph("Concat", *stored, axis=1)
