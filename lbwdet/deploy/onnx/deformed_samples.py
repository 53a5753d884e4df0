"""The samples of a deformable convolution with the standard operator that samples at a grid."""

import numpy as np

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.upsample import sides
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.deformed_samples import DeformedSamples
from lbwdet.deploy.runtime.shapes import Map

_FLOAT = 1  # onnx.TensorProto.FLOAT


@export.register
def deformed_samples(operation: DeformedSamples, values: Values) -> str:
    """Every part of the channels is an image of its own, whose taps lie below one another."""
    graph, taps, parts = values.graph, operation.taps, operation.deform_groups
    source, offsets = values.shapes[operation.input], values.tensors[operation.offsets]
    assert isinstance(source, Map)  # programs are checked
    channels, size = source.channels, sides(graph, offsets)

    def shaped(tensor: str, *leading: int) -> str:
        """[*leading, h, w] of the output's height and width."""
        return graph("Reshape", tensor, graph("Concat", list(leading), size, axis=0))

    image = values.read(operation.input)
    rows = graph("Concat", [-1], graph("Mul", size, [taps, 1]), [2], axis=0)
    places = (_places(graph, operation, axis, offsets, size, image) for axis in (1, 0))
    grid = graph("Reshape", graph("Concat", *places, axis=4), rows)
    samples = graph(
        "GridSample",
        graph("Reshape", image, [-1, channels // parts, 0, 0]),
        grid,
        mode="bilinear",
        padding_mode="zeros",
        align_corners=0,
    )
    samples = shaped(samples, -1, channels // parts, taps)
    if operation.modulated:
        first = 2 * parts * taps
        logits = graph("Slice", offsets, [first], [first + parts * taps], [1])
        samples = graph("Mul", samples, shaped(graph("Sigmoid", logits), -1, 1, taps))
    groups = operation.groups
    samples = shaped(samples, -1, groups, channels // groups, taps)
    samples = graph("Transpose", samples, perm=[0, 1, 3, 2, 4, 5])
    return values.store(operation.output, shaped(samples, -1, channels * taps))


def _places(
    graph: Graph, operation: DeformedSamples, axis: int, offsets: str, size: str, image: str
) -> str:
    """float32 [n, parts * taps, h, w, 1]: of the samples along y (0) or x (1), in -1 .. 1.

    They are divided by the map's size, and so off by some 2**-22 of it.
    """
    taps, parts = operation.taps, operation.deform_groups
    along = [1, 1, 1, 1]
    along[2 + axis] = -1
    count = graph("Squeeze", graph("Slice", size, [axis], [axis + 1]), [0])
    pixels = graph.cast(graph("Range", np.int64(0), count, np.int64(1)), _FLOAT)
    first = graph("Reshape", graph("Mul", pixels, float(operation.stride[axis])), along)
    steps = np.array([divmod(tap, operation.kernel[1])[axis] for tap in range(taps)])
    shifts = np.tile(steps * operation.dilation[axis] - operation.padding[axis], parts)
    own = graph("Gather", offsets, 2 * np.arange(parts * taps) + axis, axis=1)
    place = graph("Add", graph("Add", first, shifts.astype(np.float32)[:, None, None]), own)
    length = graph.cast(graph("Slice", sides(graph, image), [axis], [axis + 1]), _FLOAT)
    # Further outside there is nothing, either, and no integer for the place.
    place = graph("Max", graph("Min", place, graph("Add", length, 1.0)), -2.0)
    whole = graph("Div", graph("Add", graph("Mul", place, 2.0), 1.0), length)
    return graph("Unsqueeze", graph("Sub", whole, 1.0), [4])
