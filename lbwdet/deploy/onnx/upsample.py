from lbwdet.deploy.onnx.graph import Graph, Operand
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.upsample import Upsample


@export.register
def upsample(operation: Upsample, values: Values) -> str:
    graph, stored = values.graph, values.tensors[operation.input]
    if operation.like is not None:
        return nearest(graph, stored, sides(graph, values.tensors[operation.like]))
    return nearest(graph, stored, graph("Mul", sides(graph, stored), list(operation.factor)))


def sides(graph: Graph, tensor: str) -> str:
    """Height and width of a map: int64 [2]."""
    return graph("Slice", graph("Shape", tensor), [2], [4])


def nearest(graph: Graph, tensor: str, sides: Operand) -> str:
    """A map in another size, by nearest neighbours.

    Engines compute places in float32: where the sides are no multiples of one another, now and
    then a row or column is its neighbour.
    """
    count_and_channels = graph("Slice", graph("Shape", tensor), [0], [2])
    return graph(
        "Resize",
        tensor,
        "",
        "",
        graph("Concat", count_and_channels, sides, axis=0),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
