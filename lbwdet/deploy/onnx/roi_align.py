"""RoIAlign over several levels with the standard operator of one level."""

import numpy as np
from onnx import TensorProto

from lbwdet.deploy.onnx import rows
from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign


@export.register
def roi_align(operation: RoIAlign, values: Values) -> str:
    graph, boxes = values.graph, values.read(operation.boxes)
    mode = "half_pixel" if operation.aligned else "output_half_pixel"
    level = _level(graph, operation, boxes)
    if np.float32(operation.box_scale) != 1:
        boxes = _scaled(graph, boxes, operation.box_scale)
    features, origin = [], []
    for index, name in enumerate(operation.inputs):
        members = rows.where(graph, graph("Equal", level, index))
        features.append(
            graph(
                "RoiAlign",
                values.read(name),
                graph("Gather", boxes, members),
                graph("Mul", members, 0),  # every box lies in image 0
                output_height=operation.size,
                output_width=operation.size,
                sampling_ratio=operation.sampling_ratio,
                spatial_scale=1 / operation.strides[index],
                mode="avg",
                coordinate_transformation_mode=mode,
            )
        )
        origin.append(members)
    # Back from the order of the levels to that of the boxes.
    places = graph.cast(graph("Concat", *origin, axis=0), TensorProto.FLOAT)
    _, order = graph.several("TopK", 2, places, graph("Shape", places), axis=0, largest=0)
    pooled = graph("Gather", graph("Concat", *features, axis=0), order)
    return values.store(operation.output, pooled)


def _scaled(graph: Graph, boxes: str, factor: float) -> str:
    first, second = graph.several("Split", 2, boxes, [2, 2], axis=1)
    middle = graph("Mul", graph("Add", first, second), 0.5)
    reach = graph("Mul", graph("Mul", graph("Sub", second, first), float(factor)), 0.5)
    return graph("Concat", graph("Sub", middle, reach), graph("Add", middle, reach), axis=1)


def _level(graph: Graph, operation: RoIAlign, boxes: str) -> str:
    """int64 [n]: number of the map that each box is read from."""
    start, end = graph.several("Split", 2, boxes, [2, 2], axis=1)
    area = graph("ReduceProd", graph("Sub", end, start), axes=[1], keepdims=1)
    size = graph("Add", graph("Div", graph("Sqrt", area), float(operation.finest_scale)), 1e-6)
    steps = np.float32(2) ** np.arange(1, len(operation.inputs), dtype=np.float32)
    if not len(steps):
        return graph("Mul", graph.cast(graph("Squeeze", area, [1]), TensorProto.INT64), 0)
    above = graph.cast(graph("GreaterOrEqual", size, steps), TensorProto.INT64)
    return graph("ReduceSum", above, [1], keepdims=0)
