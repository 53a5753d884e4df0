from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.concat import Concat


@export.register
def concat(operation: Concat, values: Values) -> str:
    wanted = values.quantizations.get(operation.output)
    # Each by itself: OpenVINO 2026.4 mixes up zero points that differ.
    stored = [
        values.tensors[name]
        if values.quantizations.get(name) == wanted
        else values.store(operation.output, values.read(name))
        for name in operation.inputs
    ]
    return values.graph("Concat", *stored, axis=1)
