from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.upsample import sides
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.space_to_depth import SpaceToDepth


@export.register
def space_to_depth(operation: SpaceToDepth, values: Values) -> str:
    """Channels come innermost in ONNX: each by itself, as an image, makes a block of its own."""
    graph, real, factor = values.graph, values.read(operation.input), operation.factor
    shape = graph("Shape", real)
    whole = graph("Mul", graph("Div", sides(graph, real), factor), [factor, factor])
    cut = graph("Slice", real, [0, 0], whole, [2, 3])
    flat = graph("Reshape", cut, graph("Concat", [-1, 1], whole, axis=0))
    blocks = graph("SpaceToDepth", flat, blocksize=factor)
    count = graph("Slice", shape, [0], [1])
    pixels = graph("Div", whole, [factor, factor])
    channels = graph("Mul", graph("Slice", shape, [1], [2]), [factor**2])
    found = graph("Reshape", blocks, graph("Concat", count, channels, pixels, axis=0))
    return values.quantize(operation.output, found)
