import numpy as np
from onnx import TensorProto

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.upsample import sides
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.chosen_pixels import ChosenPixels
from lbwdet.deploy.runtime.shapes import Map


@export.register
def chosen_pixels(operation: ChosenPixels, values: Values) -> str:
    """A pixel of zeros stands before all others, and is that of numbers that there are not."""
    graph, first = values.graph, values.shapes[operation.inputs[0]]
    assert isinstance(first, Map)  # programs are checked
    nothing = np.zeros((1, first.channels, 1), np.float32)
    maps = [graph("Reshape", values.read(name), [0, 0, -1]) for name in operation.inputs]
    together = graph("Concat", nothing, *maps, axis=2)
    numbers = values.read(operation.numbers)
    last = graph("Gather", graph("Shape", together), 2)
    # Where all is in the maps, that is 1 more than the whole part of the number.
    places = graph("Add", graph.cast(numbers, TensorProto.INT64), 1)
    known = graph(
        "And",
        graph("Not", graph("Less", numbers, 0.0)),
        graph("Less", places, last),
    )
    places = graph("Reshape", graph("Where", known, places, 0), [-1])
    shape = graph("Concat", [1, first.channels], sides(graph, numbers), axis=0)
    chosen = graph("Gather", together, places, axis=2)
    return values.store(operation.output, graph("Reshape", chosen, shape))
