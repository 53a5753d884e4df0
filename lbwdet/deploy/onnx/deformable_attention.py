"""Deformable attention with the standard operator that samples at a grid."""

import numpy as np
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.upsample import sides
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.deformable_attention import DeformableAttention
from lbwdet.deploy.runtime.shapes import Map


@export.register
def deformable_attention(operation: DeformableAttention, values: Values) -> str:
    """Every head of a map is an image of its own, whose samples lie beside one another."""
    graph, heads, points = values.graph, operation.heads, operation.points
    first, levels = values.shapes[operation.values[0]], len(operation.values)
    assert isinstance(first, Map)  # programs are checked
    offsets = values.tensors[operation.offsets]
    size = sides(graph, offsets)
    queries = graph("ReduceProd", size, axes=[0], keepdims=1)

    # [n, heads, queries, levels, points], and a last axis for x and y
    shifts = graph("Reshape", offsets, [0, heads, levels, points, 2, -1])
    shifts = graph("Transpose", shifts, perm=[0, 1, 5, 2, 3, 4])
    logits = graph("Reshape", values.read(operation.logits), [0, heads, levels * points, -1])
    weights = graph("Reshape", graph("Softmax", logits, axis=2), [0, heads, levels, points, -1])
    weights = graph("Transpose", weights, perm=[0, 1, 4, 2, 3])
    middle, box = _places(values, operation, size)
    of_queries = graph("Concat", [-1], queries, [points, 2], axis=0)
    of_weights = graph("Concat", [-1, 1], queries, [points], axis=0)
    total = ""
    for level, name in enumerate(operation.values):
        image = values.read(name)
        own = graph("Gather", shifts, level, axis=3)
        if box:
            share = graph("Mul", own, graph("Mul", box, 0.5 / points))
        else:
            share = graph("Div", own, graph("Gather", _sides(graph, image), np.array([1, 0])))
        # Further outside there is nothing, either, and no integer for the place.
        grid = graph("Sub", graph("Mul", graph("Add", middle, share), 2.0), 1.0)
        samples = graph(
            "GridSample",
            graph("Reshape", image, [-1, first.channels // heads, 0, 0]),
            graph("Reshape", graph("Clip", grid, -3.0, 3.0), of_queries),
            mode="bilinear",
            padding_mode="zeros",
            align_corners=0,
        )
        weight = graph("Reshape", graph("Gather", weights, level, axis=3), of_weights)
        mean = graph("ReduceSum", graph("Mul", samples, weight), [3], keepdims=0)
        total = graph("Add", total, mean) if total else mean
    shape = graph("Concat", [-1, first.channels], size, axis=0)
    return values.store(operation.output, graph("Reshape", total, shape))


def _sides(graph: Graph, tensor: str) -> str:
    """Height and width of a map: float32 [2]."""
    return graph.cast(sides(graph, tensor), TensorProto.FLOAT)


def _places(values: Values, operation: DeformableAttention, size: str) -> tuple[str, str]:
    """x and y of queries, and their boxes' width and height, or '': [n, 1, queries, 1, 2]."""
    graph = values.graph
    if operation.references is None:
        axes = []
        for axis, shape in ((1, [1, -1]), (0, [-1, 1])):
            count = graph("Gather", size, axis)
            pixels = graph.cast(graph("Range", np.int64(0), count, np.int64(1)), TensorProto.FLOAT)
            place = graph("Div", graph("Add", pixels, 0.5), graph.cast(count, TensorProto.FLOAT))
            spread = graph("Expand", graph("Reshape", place, shape), size)
            axes.append(graph("Reshape", spread, [1, 1, -1, 1, 1]))
        return graph("Concat", *axes, axis=4), ""
    references = values.shapes[operation.references]
    assert isinstance(references, Map)
    found = graph("Sigmoid", values.read(operation.references))
    found = graph("Reshape", found, [0, references.channels, -1])
    found = graph("Unsqueeze", graph("Transpose", found, perm=[0, 2, 1]), [1, 3])
    if references.channels == 2:
        return found, ""
    middle, box = graph.several("Split", 2, found, [2, 2], axis=4)
    return middle, box
