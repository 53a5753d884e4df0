from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.softmax_of_parts import SoftmaxOfParts


@export.register
def softmax_of_parts(operation: SoftmaxOfParts, values: Values) -> str:
    graph, logits = values.graph, values.tensors[operation.input]
    shape = graph("Shape", logits)
    count, sides = graph("Slice", shape, [0], [1]), graph("Slice", shape, [2], [4])
    settings = [operation.groups, operation.parts, -1]
    apart = graph("Reshape", logits, graph("Concat", count, settings, sides, axis=0))
    shares = graph("Transpose", graph("Softmax", apart, axis=2), perm=(0, 2, 1, 3, 4, 5))
    return values.store(operation.output, graph("Reshape", shares, shape))
