from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.region_product import RegionProduct
from lbwdet.deploy.runtime.shapes import Map


@export.register
def region_product(operation: RegionProduct, values: Values) -> str:
    """A product of matrices [n, channels, depth] with pixels [n, depth, h * w]."""
    graph, source = values.graph, values.read(operation.input)
    found = values.shapes[operation.input]
    assert isinstance(found, Map)
    depth, channels, first = found.channels, operation.channels, operation.first
    numbers = graph("Reshape", values.read(operation.matrices), [0, -1])
    numbers = graph("Slice", numbers, [first], [first + depth * channels], [1])
    matrices = graph("Transpose", graph("Reshape", numbers, [-1, depth, channels]), perm=[0, 2, 1])
    product = graph("MatMul", matrices, graph("Reshape", source, [0, depth, -1]))
    shape = graph("Shape", source)
    count, sides = graph("Slice", shape, [0], [1]), graph("Slice", shape, [2], [4])
    size = graph("Concat", count, [channels], sides, axis=0)
    return values.store(operation.output, graph("Reshape", product, size))
