"""Votes of boxes' cells with the standard RoiAlign: every cell is a box of one bin."""

import numpy as np

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.ps_roi_align import PSRoIAlign


@export.register
def ps_roi_align(operation: PSRoIAlign, values: Values) -> str:
    """[n, D, 1, 1].

    The maps of one cell, [D, h, w], become an image of a batch of ``size**2``; the cells of
    all boxes are read from it, each from its own image.
    """
    graph, size, cells = values.graph, operation.size, operation.size**2
    maps = graph("Reshape", values.read(operation.input), [-1, cells, 0, 0])
    maps = graph("Transpose", maps, perm=(1, 0, 2, 3))
    start, end = graph.several("Split", 2, values.read(operation.boxes), [2, 2], axis=1)
    start, end = (graph("Unsqueeze", corner, [1]) for corner in (start, end))  # [n, 1, 2]
    extent = graph("Div", graph("Sub", end, start), float(size))
    cell = np.stack([np.arange(cells) % size, np.arange(cells) // size], -1).astype(np.float32)
    begin = graph("Add", start, graph("Mul", extent, cell))
    boxes = graph("Concat", begin, graph("Add", begin, extent), axis=2)  # [n, cells, 4]
    number = graph(
        "Expand", np.arange(cells)[None], graph("Slice", graph("Shape", boxes), [0], [2])
    )
    pooled = graph(
        "RoiAlign",
        maps,
        graph("Reshape", boxes, [-1, 4]),
        graph("Reshape", number, [-1]),
        output_height=1,
        output_width=1,
        sampling_ratio=operation.sampling_ratio,
        spatial_scale=1 / operation.stride,
        mode="avg",
        coordinate_transformation_mode="half_pixel",
    )  # [n * cells, D, 1, 1]
    outputs = graph("Slice", graph("Shape", pooled), [1], [4])
    votes = graph("Reshape", pooled, graph("Concat", [-1, cells], outputs, axis=0))
    return graph("ReduceMean", votes, axes=[1], keepdims=0)
