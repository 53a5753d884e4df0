from onnx import TensorProto

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.coordinates import Coordinates


@export.register
def coordinates(operation: Coordinates, values: Values) -> str:
    graph = values.graph
    shape = graph("Shape", values.tensors[operation.like])
    ends = [graph("Slice", shape, [first], [end]) for first, end in ((0, 1), (2, 4))]
    whole = graph("Concat", ends[0], [1], ends[1], axis=0)

    def of_side(axis: int) -> str:
        """[1, 1, height, 1] or [1, 1, 1, width], as large as the map."""
        size = graph.cast(graph("Gather", shape, axis), TensorProto.FLOAT)
        steps = graph("Max", graph("Sub", size, 1.0), 1.0)
        place = graph("Div", graph("Mul", graph("Range", 0.0, size, 1.0), 2.0), steps)
        line = graph("Unsqueeze", graph("Sub", place, 1.0), [0, 1, 3 if axis == 2 else 2])
        return graph("Expand", line, whole)

    return values.store(operation.output, graph("Concat", of_side(3), of_side(2), axis=1))
