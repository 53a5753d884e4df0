"""RoIAlign over several levels with the standard operator of one level."""

import numpy as np
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations import RoIAlign


def roi_align(graph: Graph, operation: RoIAlign, values: Values) -> None:
    """Writes ``operation.output``: [n, c, size, size]."""
    boxes = values.read(operation.boxes)
    level = _level(graph, operation, boxes)
    features, origin = [], []
    for index, name in enumerate(operation.inputs):
        member = graph("Equal", level, index)
        rows = graph("Squeeze", graph("NonZero", member), [0])
        features.append(
            graph(
                "RoiAlign",
                values.read(name),
                graph("Gather", boxes, rows),
                graph("Mul", rows, 0),  # every box lies in image 0
                output_height=operation.size,
                output_width=operation.size,
                sampling_ratio=operation.sampling_ratio,
                spatial_scale=1 / operation.strides[index],
                mode="avg",
                coordinate_transformation_mode="half_pixel",
            )
        )
        origin.append(rows)
    # Back from the order of the levels to that of the boxes.
    rows = graph.cast(graph("Concat", *origin, axis=0), TensorProto.FLOAT)
    _, order = graph.several("TopK", 2, rows, graph("Shape", rows), axis=0, largest=0)
    pooled = graph("Gather", graph("Concat", *features, axis=0), order)
    shift = values.rounding_shift(operation.output)
    values.sides[operation.output] = (operation.size, operation.size)
    values.write(operation.output, graph("Add", pooled, shift) if shift else pooled)


def _level(graph: Graph, operation: RoIAlign, boxes: str) -> str:
    """int64 [n]: number of the map that each box is read from."""
    x1, y1, x2, y2 = graph.several("Split", 4, boxes, [1, 1, 1, 1], axis=1)
    area = graph("Mul", graph("Sub", x2, x1), graph("Sub", y2, y1))
    size = graph("Add", graph("Div", graph("Sqrt", area), float(operation.finest_scale)), 1e-6)
    steps = np.float32(2) ** np.arange(1, len(operation.inputs), dtype=np.float32)
    if not len(steps):
        return graph("Mul", graph.cast(graph("Squeeze", area, [1]), TensorProto.INT64), 0)
    above = graph.cast(graph("GreaterOrEqual", size, steps), TensorProto.INT64)
    return graph("ReduceSum", above, [1], keepdims=0)
