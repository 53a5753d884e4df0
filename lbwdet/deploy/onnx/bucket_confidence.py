from lbwdet.deploy.onnx.bucket_sides import as_map, by_side
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.bucket_confidence import BucketConfidence


@export.register
def bucket_confidence(operation: BucketConfidence, values: Values) -> str:
    graph, maps = values.graph, values.read(operation.scores)
    scores = by_side(graph, maps, operation.buckets)
    _, places = graph.several("TopK", 2, scores, [2], axis=1)
    shares = graph("GatherElements", graph("Softmax", scores, axis=1), places, axis=1)
    best, second = graph.several("Split", 2, shares, [1, 1], axis=1)
    first, other = graph.several("Split", 2, places, [1, 1], axis=1)
    near = graph("Equal", graph("Abs", graph("Sub", first, other)), 1)
    sure = graph("Add", best, graph("Mul", second, graph.cast(near, 1)))
    mean = graph("ReduceMean", graph("Reshape", sure, [-1, 4]), axes=[1], keepdims=0)
    return values.store(operation.output, as_map(graph, mean, maps))
