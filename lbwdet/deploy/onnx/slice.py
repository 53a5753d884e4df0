from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.slice import Slice

_END = 2**31 - 1


@export.register
def sliced(operation: Slice, values: Values) -> str:
    first, count = operation.channels
    return values.graph(
        "Slice",
        values.tensors[operation.input],
        [first, *operation.start],
        [first + count if count else _END, _END, _END],
        [1, 2, 3],
        [1, *operation.step],
    )
