from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.line_buckets import LineBuckets
from lbwdet.deploy.runtime.shapes import Map


@export.register
def line_buckets(operation: LineBuckets, values: Values) -> str:
    graph, found = values.graph, values.shapes[operation.across]
    assert isinstance(found, Map)
    count = found.width.smallest * found.channels
    half, parts = -(-count // 2), []
    for name in (operation.across, operation.down):
        pixels = graph("Transpose", values.read(name), perm=[0, 2, 3, 1])
        numbers = graph("Reshape", pixels, [-1, count])
        parts.append(graph("Slice", numbers, [0], [half], [1]))
        parts.append(graph("Slice", numbers, [count - 1], [count - 1 - half - count], [1], [-1]))
    return graph("Reshape", graph("Concat", *parts, axis=1), [-1, 4 * half, 1, 1])
