import numpy as np

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.embedding import Embedding


@export.register
def embedding(operation: Embedding, values: Values) -> str:
    layer = values.layers[operation.layer]
    factors = layer.factors.reshape(len(layer.factors), -1).astype(np.float64)
    gain, bias = (x.astype(np.float64)[:, None] for x in (layer.gain, layer.bias))
    reals = (factors * layer.scale[:, None] * gain + bias).astype(np.float32)
    planes = reals.T.reshape(1, -1, operation.height, operation.width)
    return values.store(operation.output, values.graph.constant(planes))
