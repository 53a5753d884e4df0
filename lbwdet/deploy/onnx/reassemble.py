import numpy as np

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.reassemble import Reassemble


@export.register
def reassemble(operation: Reassemble, values: Values) -> str:
    graph, kernel, groups = values.graph, operation.kernel, operation.groups
    logits = values.tensors[operation.logits]
    if operation.factor > 1:
        logits = graph("DepthToSpace", logits, blocksize=operation.factor, mode="CRD")
    shape = graph("Shape", logits)  # n, groups * taps, height and width of the output
    count, sides = graph("Slice", shape, [0], [1]), graph("Slice", shape, [2], [4])
    apart = graph("Concat", count, [groups, operation.taps], sides, axis=0)
    weights = graph("Softmax", graph("Reshape", logits, apart), axis=2)
    half = kernel // 2
    around = graph("Pad", values.read(operation.input), [0, 0, half, half] * 2, 0.0)
    total = ""
    for tap in range(operation.taps):
        first = divmod(tap, kernel)
        last = [place - kernel + 1 or np.iinfo(np.int64).max for place in first]
        pixels = graph("Slice", around, list(first), last, [2, 3])
        scales = np.array([1, 1, operation.factor, operation.factor], np.float32)
        settings = dict(mode="nearest", coordinate_transformation_mode="asymmetric")
        larger = graph("Resize", pixels, "", scales, nearest_mode="floor", **settings)
        parts = graph("Reshape", larger, graph("Concat", count, [groups, -1], sides, axis=0))
        weight = graph("Slice", weights, [tap], [tap + 1], [2])
        term = graph("Mul", parts, weight)
        total = graph("Add", total, term) if total else term
    whole = graph("Concat", count, [-1], sides, axis=0)
    return values.store(operation.output, graph("Reshape", total, whole))
