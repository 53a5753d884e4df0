from onnx import TensorProto

from lbwdet.deploy.onnx import rows
from lbwdet.deploy.onnx.coders import decode
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates


@export.register
def region_candidates(operation: RegionCandidates, values: Values) -> str:
    graph, classes = values.graph, operation.num_classes
    scores = _scores(operation, values)
    above = graph("Greater", graph("Reshape", scores, [-1]), float(operation.score_threshold))
    pair = rows.where(graph, above)
    if operation.best:
        found = graph("Gather", graph("Reshape", scores, [-1]), pair)
        pair = graph("Gather", pair, rows.best_first(graph, found, operation.best)[1])
    box, label = graph("Div", pair, classes), graph("Mod", pair, classes)
    deltas = graph("Reshape", values.read(operation.deltas), [-1, 4])
    decoded = decode(
        operation.coder,
        values,
        graph("Gather", values.read(operation.boxes), box),
        graph("Gather", deltas, box if operation.class_agnostic else pair),
    )
    kept = graph("Gather", graph("Reshape", scores, [-1]), pair)
    label = graph.cast(label, TensorProto.FLOAT)
    if operation.factors is not None:
        factors = graph("Reshape", values.read(operation.factors), [-1])
        kept = graph("Mul", kept, graph("Gather", factors, box))
    number = graph.cast(box, TensorProto.FLOAT)
    level = number if operation.numbered else graph("Mul", label, 0.0)
    return rows.join(graph, decoded, kept, label, level)


def _scores(operation: RegionCandidates, values: Values) -> str:
    """float32 [n, C]."""
    graph, classes = values.graph, operation.num_classes
    if operation.activation == "sigmoid":
        return graph("Sigmoid", graph("Reshape", values.read(operation.scores), [-1, classes]))
    if operation.activation == "softmax":
        logits = graph("Reshape", values.read(operation.scores), [-1, classes + 1])
        return graph("Slice", graph("Softmax", logits, axis=1), [0], [classes], [1])
    logits = graph("Reshape", values.read(operation.scores), [-1, classes + 2])
    own, other = graph.several("Split", 2, logits, [classes, 2], axis=1)
    objects = graph("Slice", graph("Softmax", other, axis=1), [0], [1], [1])
    return graph("Mul", graph("Softmax", own, axis=1), objects)
