from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.peaks import Peaks


@export.register
def peaks(operation: Peaks, values: Values) -> str:
    graph, before, after = values.graph, operation.before, operation.after
    scores = graph("Sigmoid", values.read(operation.input))
    # Zeros around the map are no larger than any score; an engine pads less than a window itself.
    around = [0, 0, before, before, 0, 0, after, after]
    side = before + after + 1
    largest = graph("MaxPool", graph("Pad", scores, around), kernel_shape=[side, side])
    return graph("Where", graph("Equal", scores, largest), scores, 0.0)
