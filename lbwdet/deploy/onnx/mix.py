import numpy as np

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.mix import LARGEST, Mix


@export.register
def mix(operation: Mix, values: Values) -> str:
    graph = values.graph
    maps = [values.read(name) for name in operation.inputs]
    x = maps[0] if len(maps) == 1 else graph("Concat", *maps, axis=1)
    factors = np.array(operation.factors, np.float32)
    if operation.limits:
        limits = np.array(operation.limits, np.float32)[:, None, None]
        x = graph("Min", graph("Max", x, -limits), limits)
    if operation.exponential:
        powers = np.zeros((factors.shape[1], 1, 1), bool)
        powers[list(operation.exponential)] = True
        x = graph("Where", powers, graph("Exp", graph("Clip", x, -100.0, LARGEST)), x)
    weight, bias = factors[:, :, None, None], np.array(operation.bias, np.float32)
    return values.store(operation.output, graph("Conv", x, weight, bias))
