from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.softmax_pool import SoftmaxPool


@export.register
def softmax_pool(operation: SoftmaxPool, values: Values) -> str:
    graph, logits = values.graph, values.tensors[operation.logits]
    weights = graph("Softmax", graph("Reshape", logits, [0, -1, 1]), axis=1)
    pixels = graph("Reshape", values.read(operation.input), [0, 0, -1])
    mean = graph("Unsqueeze", graph("MatMul", pixels, weights), [3])
    return values.store(operation.output, mean)
