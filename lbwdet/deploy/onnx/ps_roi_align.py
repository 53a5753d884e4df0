"""Votes of boxes' cells with the standard RoiAlign: every cell is a box of one bin."""

import numpy as np

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations import PSRoIAlign


def ps_roi_align(graph: Graph, operation: PSRoIAlign, values: Values) -> None:
    """Writes ``operation.output``: [n, D].

    The maps of one cell, [D, h, w], become an image of a batch of ``size**2``; the cells of
    all boxes are read from it, each from its own image.
    """
    size, cells = operation.size, operation.size**2
    maps = graph("Reshape", values.read(operation.input), [-1, cells, 0, 0])
    maps = graph("Transpose", maps, perm=(1, 0, 2, 3))
    x1, y1, x2, y2 = graph.several("Split", 4, values.read(operation.boxes), [1] * 4, axis=1)
    low, high = [], []
    for first, second, index in (
        (x1, x2, np.arange(cells) % size),
        (y1, y2, np.arange(cells) // size),
    ):
        extent = graph("Div", graph("Sub", second, first), float(size))
        begin = graph("Add", first, graph("Mul", extent, index.astype(np.float32)[None]))
        low.append(graph("Unsqueeze", begin, [2]))
        high.append(graph("Unsqueeze", graph("Add", begin, extent), [2]))
    boxes = graph("Concat", *low, *high, axis=2)  # [n, cells, 4]
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
    outputs = graph("Slice", graph("Shape", pooled), [1], [2])
    votes = graph("Reshape", pooled, graph("Concat", [-1, cells], outputs, axis=0))
    values.write(operation.output, graph("ReduceMean", votes, axes=[1], keepdims=0))
