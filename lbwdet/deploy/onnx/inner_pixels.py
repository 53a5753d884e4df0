"""Pixels that propose a box, and those boxes."""

import numpy as np
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.inner_pixels import InnerPixels


@export.register
def inner_pixels(operation: InnerPixels, values: Values) -> str:
    graph = values.graph
    real = values.read(operation.input)
    inner = is_inner(graph, real, operation.margin)
    return values.store(operation.output, graph("Where", inner, real, 0.0))


def middles(graph: Graph, tensor: str) -> tuple[str, str]:
    """Of a map's pixels: places down [h, 1] and across [w], as shares of its sides."""
    places = []
    for axis, shape in ((2, [-1, 1]), (3, [-1])):
        count = graph("Gather", graph("Shape", tensor), axis)
        pixels = graph.cast(graph("Range", np.int64(0), count, np.int64(1)), TensorProto.FLOAT)
        place = graph("Div", graph("Add", pixels, 0.5), graph.cast(count, TensorProto.FLOAT))
        places.append(graph("Reshape", place, shape))
    return places[0], places[1]


def is_inner(graph: Graph, tensor: str, margin: float) -> str:
    """bool [h, w]: whose middle is inside of the map by more than the margin."""
    low = np.float32(margin)
    inner = [
        graph("And", graph("Greater", place, low), graph("Less", place, np.float32(1) - low))
        for place in middles(graph, tensor)
    ]
    return graph("And", *inner)
