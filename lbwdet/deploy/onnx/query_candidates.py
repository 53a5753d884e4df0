from onnx import TensorProto

from lbwdet.deploy.onnx import rows
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.query_candidates import QueryCandidates
from lbwdet.errors import ConfigError


@export.register
def query_candidates(operation: QueryCandidates, values: Values) -> str:
    if operation.among is not None:
        raise ConfigError(
            f"{operation.output}: ONNX export knows no queries of which some count; the .lbw file "
            "runs in the engine"
        )
    graph, classes = values.graph, operation.num_classes

    def queries(name: str, columns: int) -> str:
        """[n, columns]."""
        pixels = graph("Transpose", values.read(name), perm=[0, 2, 3, 1])
        return graph("Reshape", pixels, [-1, columns])

    if operation.activation == "softmax":
        every = graph("Softmax", queries(operation.scores, classes + 1), axis=1)
        scores = graph("Slice", every, [0], [classes], [1])
        best = graph("ReduceMax", scores, axes=[1], keepdims=0)
        score, query = rows.best_first(graph, best, operation.max_boxes)
        labels = graph("ArgMax", scores, axis=1, keepdims=0)
        label = graph("Gather", labels, query)
    else:
        every = graph("Sigmoid", queries(operation.scores, classes))
        flat = graph("Reshape", every, [-1])
        score, pair = rows.best_first(graph, flat, operation.max_boxes)
        query, label = graph("Div", pair, classes), graph("Mod", pair, classes)
    box = graph("Sigmoid", graph("Gather", queries(operation.boxes, 4), query))
    middle, size = graph.several("Split", 2, box, [2, 2], axis=1)
    half = graph("Mul", size, 0.5)
    ends = [
        graph("Min", graph("Max", graph("Mul", place, values.size), 0.0), values.size)
        for place in (graph("Sub", middle, half), graph("Add", middle, half))
    ]
    label = graph.cast(label, TensorProto.FLOAT)
    return rows.join(graph, graph("Concat", *ends, axis=1), score, label, graph("Mul", label, 0.0))
