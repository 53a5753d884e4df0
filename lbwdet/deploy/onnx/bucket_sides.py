import numpy as np

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.bucket_sides import LTRB, SIGNS, BucketSides


@export.register
def bucket_sides(operation: BucketSides, values: Values) -> str:
    graph, maps = values.graph, values.read(operation.scores)
    scores = by_side(graph, maps, operation.buckets)
    best = graph("ArgMax", scores, axis=1, keepdims=1)
    offsets = by_side(graph, values.read(operation.offsets), operation.buckets)
    offset = graph("GatherElements", offsets, best, axis=1)
    offset = graph("Mul", graph("Reshape", offset, [-1, 4]), SIGNS)
    middle = graph("Reshape", graph("Add", graph.cast(best, 1), 0.5), [-1, 4])
    distances = graph("Sub", operation.whole / 2, graph("Add", middle, offset))
    distances = graph("Gather", distances, np.array(LTRB), axis=1)
    return values.store(operation.output, as_map(graph, distances, maps))


def by_side(graph: Graph, maps: str, buckets: int) -> str:
    """A map [1, A * 4 * n, h, w] as [h * w * A * 4, n]."""
    return graph("Reshape", graph("Transpose", maps, perm=(0, 2, 3, 1)), [-1, buckets])


def as_map(graph: Graph, numbers: str, maps: str) -> str:
    """Numbers in the order n, y, x, channel as a map [n, channels, h, w], the size of ``maps``."""
    shape = graph("Shape", maps)
    count, size = graph("Slice", shape, [0], [1]), graph("Slice", shape, [2], [4])
    shape = graph("Concat", count, size, [-1], axis=0)
    return graph("Transpose", graph("Reshape", numbers, shape), perm=(0, 3, 1, 2))
