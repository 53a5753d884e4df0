import numpy as np

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.learned_boxes import LearnedBoxes


@export.register
def learned_boxes(operation: LearnedBoxes, values: Values) -> str:
    places, graph = np.array(operation.boxes, np.float32), values.graph
    middles, halves = places[:, :2], np.float32(0.5) * places[:, 2:]
    size = graph("Concat", values.size, values.size, axis=0)
    return graph("Mul", np.concatenate([middles - halves, middles + halves], 1), size)
