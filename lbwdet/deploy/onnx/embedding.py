from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.embedding import Embedding


@export.register
def embedding(operation: Embedding, values: Values) -> str:
    reals = operation.reals(values.layers[operation.layer])
    if operation.boxes is not None:
        graph = values.graph
        count = graph("Slice", graph("Shape", values.read(operation.boxes)), [0], [1])
        rows = graph("Slice", reals.reshape(*reals.shape, 1, 1), [0], count, [0])
        return values.store(operation.output, rows)
    planes = reals.T.reshape(1, -1, operation.height, operation.width)
    return values.store(operation.output, values.graph.constant(planes))
