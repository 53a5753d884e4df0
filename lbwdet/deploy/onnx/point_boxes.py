from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.point_boxes import PointBoxes


@export.register
def point_boxes(operation: PointBoxes, values: Values) -> str:
    graph, places = values.graph, values.read(operation.input)
    first, last = [], []
    for axis in (0, 1):
        start, end = 1 - axis, 2 * operation.points
        along = graph("Slice", places, [start], [end], [1], [2])
        if not operation.spread:
            first.append(graph("ReduceMin", along, axes=[1], keepdims=1))
            last.append(graph("ReduceMax", along, axes=[1], keepdims=1))
            continue
        mean = graph("ReduceMean", along, axes=[1], keepdims=1)
        away = graph("ReduceSumSquare", graph("Sub", along, mean), axes=[1], keepdims=1)
        deviation = graph("Sqrt", graph("Div", away, float(operation.points - 1)))
        half = graph("Mul", deviation, float(operation.spread[axis]))
        first.append(graph("Sub", mean, half))
        last.append(graph("Add", mean, half))
    before = (graph("Neg", side) for side in first)
    return values.store(operation.output, graph("Concat", *before, *last, axis=1))
