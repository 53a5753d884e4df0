import numpy as np
from onnx import TensorProto

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.group_norm import GroupNorm


@export.register
def group_norm(operation: GroupNorm, values: Values) -> str:
    """Written out, with sums: OpenVINO 2026.4 has other means and norms of uint8 maps."""
    graph, source = values.graph, values.read(operation.input)
    shape = [0, operation.groups, -1]
    if operation.per_pixel:
        shape[2:] = len(operation.gain) // operation.groups, -1
    grouped = graph("Reshape", source, shape)
    count = graph.cast(graph("Slice", graph("Shape", grouped), [2], [3]), TensorProto.FLOAT)

    def mean(numbers: str) -> str:
        return graph("Div", graph("ReduceSum", numbers, [2]), count)

    away = graph("Sub", grouped, mean(grouped))
    variance = mean(graph("Mul", away, away))
    root = graph("Sqrt", graph("Add", variance, float(operation.epsilon)))
    normal = graph("Reshape", graph("Div", away, root), graph("Shape", source))
    gain, bias = (
        np.array(numbers, np.float32)[:, None, None] for numbers in (operation.gain, operation.bias)
    )
    real = graph("Add", graph("Mul", normal, gain), bias)
    return values.store(operation.output, graph("Relu", real) if operation.relu else real)
