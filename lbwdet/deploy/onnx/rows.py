"""Boxes and candidates: choosing among rows, joining columns."""

from lbwdet.deploy.onnx.graph import Graph, Operand


def boxes(graph: Graph, rows: str) -> str:
    """The boxes [n, 4] of candidates [n, 7]."""
    return graph("Slice", rows, [0], [4], [1])


def column(graph: Graph, rows: str, index: int) -> str:
    """A column [n] of rows."""
    return graph("Gather", rows, index, axis=1)


def join(graph: Graph, boxes: str, *columns: str) -> str:
    """Rows of boxes [n, 4] and columns [n]."""
    return graph("Concat", boxes, *(graph("Unsqueeze", one, [1]) for one in columns), axis=1)


def where(graph: Graph, chosen: str) -> str:
    """The indices, ascending, at which a tensor of bools [n] is true."""
    return graph("Squeeze", graph("NonZero", chosen), [0])


def best_first(
    graph: Graph, scores: str, limit: int, among: Operand | None = None
) -> tuple[str, str]:
    """The largest scores of [n] in descending order, and their indices; ties in their order.

    Args:
        graph: where the nodes go.
        scores: float32 [n].
        limit: most that are wanted.
        among: a tensor that has as many rows as may be wanted; None: the scores.
    """
    count = graph("Min", graph("Slice", graph("Shape", among or scores), [0], [1]), [limit])
    best, index = graph.several("TopK", 2, scores, count, axis=0)
    return best, index
