from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.refold import Refold


@export.register
def refold(operation: Refold, values: Values) -> str:
    graph = values.graph
    planes, like = values.read(operation.input), values.tensors[operation.like]
    count = graph("Slice", graph("Shape", planes), [0], [1])
    size = graph("Slice", graph("Shape", like), [2], [4])
    area, first, found = graph("ReduceProd", size, keepdims=1), 0, []
    for channels in operation.parts:
        part = graph("Slice", planes, [first], [first + channels], [1])
        numbers = graph("Reshape", part, [0, -1])
        needed = graph("Slice", numbers, [0], graph("Mul", area, [channels]), [1])
        shape = graph("Concat", count, [channels], size, axis=0)
        found.append(graph("Reshape", needed, shape))
        first += channels
    whole = found[0] if len(found) == 1 else graph("Concat", *found, axis=1)
    return values.store(operation.output, whole)
