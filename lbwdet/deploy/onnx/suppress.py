import numpy as np

from lbwdet.deploy.onnx import rows
from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.errors import ConfigError

_COLUMN = {"class": 5, "level": 6}
_NONE = np.array([-np.inf], np.float32)
_LEAST = np.array([np.finfo(np.float32).min], np.float32)
_TOUCH = 1e-30  # at 0 OpenVINO drops boxes that do not overlap, too


@export.register
def suppress(operation: Suppress, values: Values) -> str:
    if operation.fast or operation.most_of_group:
        raise ConfigError("ONNX export knows no suppression by boxes that were dropped")
    graph, found = values.graph, values.read(operation.input)
    scores = rows.column(graph, found, 4)
    if operation.group == "all":
        each = graph("Unsqueeze", scores, [0])
    else:
        each = _by_group(graph, scores, rows.column(graph, found, _COLUMN[operation.group]))
    chosen = graph(
        "NonMaxSuppression",
        graph("Unsqueeze", rows.boxes(graph, found), [0]),
        graph("Unsqueeze", each, [0]),
        [operation.max_boxes],
        np.array([max(operation.iou_threshold, _TOUCH)], np.float32),
        _LEAST,
    )
    index = rows.column(graph, chosen, 2)
    # Back to the order of the candidates, which decides between equal scores.
    dropped = graph("Expand", _NONE, graph("Shape", scores))
    kept = graph("ScatterElements", dropped, index, graph("Gather", scores, index), axis=0)
    _, best = rows.best_first(graph, kept, operation.max_boxes, among=index)
    return graph("Gather", found, best)


def _by_group(graph: Graph, scores: str, groups: str) -> str:
    """Scores [g, n] of candidates [n] in their own group; in the others, none."""
    last = graph("ReduceMax", graph("Concat", groups, np.zeros(1, np.float32), axis=0), keepdims=0)
    every = graph("Range", 0.0, graph("Add", last, 1.0), 1.0)
    member = graph("Equal", graph("Unsqueeze", every, [1]), groups)
    return graph("Where", member, scores, _NONE)
