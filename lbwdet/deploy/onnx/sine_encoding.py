import math

import numpy as np
from onnx import TensorProto

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.sine_encoding import SineEncoding


@export.register
def sine_encoding(operation: SineEncoding, values: Values) -> str:
    graph, count = values.graph, operation.channels
    shape = graph("Shape", values.tensors[operation.like])
    phase = np.array([math.pi / 2 * (k % 2) for k in range(count)], np.float32)

    def of_side(axis: int) -> str:
        """[1, channels, height, 1] or [1, channels, 1, width]."""
        size = graph.cast(graph("Gather", shape, axis), TensorProto.FLOAT)
        place = graph("Range", 1.0, graph("Add", size, 1.0), 1.0)
        if operation.scale:
            place = graph("Add", place, float(operation.offset))
            place = graph("Div", place, graph("Add", size, float(operation.epsilon)))
            place = graph("Mul", place, float(operation.scale))
        column = operation.slowness()[:, None]
        angle = graph("Add", graph("Mul", graph("Unsqueeze", place, [0]), column), phase[:, None])
        return graph("Unsqueeze", graph("Sin", angle), [0, 3 if axis == 2 else 2])

    ends = [graph("Slice", shape, [first], [end]) for first, end in ((0, 1), (2, 4))]
    whole = graph("Concat", ends[0], [count], ends[1], axis=0)
    both = [graph("Expand", of_side(axis), whole) for axis in (2, 3)]
    return values.store(operation.output, graph("Concat", *both, axis=1))
