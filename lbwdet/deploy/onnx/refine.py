from lbwdet.deploy.onnx.coders import decode
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.refine import Refine


@export.register
def refine(operation: Refine, values: Values) -> str:
    graph, classes = values.graph, operation.num_classes
    if operation.scores is None:
        deltas = graph("Reshape", values.read(operation.deltas), [-1, 4])
    else:
        every = graph("Reshape", values.read(operation.deltas), [-1, classes, 4])
        scores = graph("Slice", values.read(operation.scores), [0], [classes], [1])
        label = graph("Reshape", graph("ArgMax", scores, axis=1), [-1, 1])
        deltas = graph("GatherND", every, label, batch_dims=1)
    return decode(operation.coder, values, values.read(operation.boxes), deltas)
