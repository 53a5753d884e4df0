from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.embedding import Embedding


@export.register
def embedding(operation: Embedding, values: Values) -> str:
    reals = operation.reals(values.layers[operation.layer])
    planes = reals.T.reshape(1, -1, operation.height, operation.width)
    return values.store(operation.output, values.graph.constant(planes))
