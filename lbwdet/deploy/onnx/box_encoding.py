import math

import numpy as np

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.upsample import sides
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.box_encoding import BoxEncoding


@export.register
def box_encoding(operation: BoxEncoding, values: Values) -> str:
    graph, count = values.graph, operation.channels
    shares = graph("Sigmoid", values.read(operation.input))
    chosen = graph("Gather", shares, np.array(operation.order, np.int64), axis=1)
    waves = (operation.slowness() * np.float32(operation.scale))[:, None, None]
    phase = np.array([math.pi / 2 * (k % 2) for k in range(count)], np.float32)[:, None, None]
    angle = graph("Add", graph("Mul", graph("Unsqueeze", chosen, [2]), waves), phase)
    whole = graph("Concat", [-1, count * len(operation.order)], sides(graph, chosen), axis=0)
    return values.store(operation.output, graph("Reshape", graph("Sin", angle), whole))
