"""Boxes from priors and what a network predicts for them, in float32."""

import functools

import numpy as np

from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.coders import Coder, DeltaCoder, DistanceCoder, TwiceCoder
from lbwdet.errors import ConfigError


@functools.singledispatch
def decode(coder: Coder, values: Values, boxes: str, deltas: str, stride: int = 1) -> str:
    """Boxes [n, 4] from priors of a level and deltas [n, 4].

    Raises:
        ConfigError: there is no export for the coder.
    """
    known = sorted(kind.__name__ for kind in decode.registry if kind is not object)
    raise ConfigError(f"ONNX export knows no {type(coder).__name__}; it knows {', '.join(known)}")


@decode.register
def delta(coder: DeltaCoder, values: Values, boxes: str, deltas: str, stride: int = 1) -> str:
    graph = values.graph
    if coder.stds != (1.0,) * 4:
        deltas = graph("Mul", deltas, np.array(coder.stds, np.float32))
    if coder.means != (0.0,) * 4:
        deltas = graph("Add", deltas, np.array(coder.means, np.float32))
    start, end = _halves(values, boxes)
    move, stretch = _halves(values, deltas)
    size = graph("Sub", end, start)
    if coder.end_pixels:
        size = graph("Add", size, 1.0)
    center = graph("Mul", graph("Add", start, end), 0.5)
    shift, largest = graph("Mul", size, move), coder.max_log_ratio
    if coder.in_cell:
        shift = graph("Mul", graph("Sub", graph("Sigmoid", move), 0.5), float(stride))
    least = -largest
    if coder.max_shift:
        shift, least = graph("Clip", shift, -coder.max_shift, coder.max_shift), -100.0
    center = graph("Add", center, shift)
    size = graph("Mul", size, graph("Exp", graph("Clip", stretch, least, largest)))
    half = graph("Mul", size, 0.5)
    start, end = graph("Sub", center, half), graph("Add", center, half)
    return _boxes(values, start, end, coder.clip, float(coder.end_pixels))


@decode.register
def distance(coder: DistanceCoder, values: Values, boxes: str, deltas: str, stride: int = 1) -> str:
    graph = values.graph
    start, end = _halves(values, boxes)
    center = graph("Mul", graph("Add", start, end), 0.5)
    distances = graph("Mul", _distances(coder, values, deltas), coder.scale)
    if coder.vertical_first:
        distances = graph("Gather", distances, [2, 0, 3, 1], axis=1)
    before, after = _halves(values, distances)
    if coder.of_prior:
        size = graph("Sub", end, start)
        before, after = graph("Mul", before, size), graph("Mul", after, size)
    start, end = graph("Sub", center, before), graph("Add", center, after)
    return _boxes(values, start, end, coder.clip, coder.inset)


@decode.register
def twice(coder: TwiceCoder, values: Values, boxes: str, deltas: str, stride: int = 1) -> str:
    first, second = values.graph.several("Split", 2, deltas, [4, 4], axis=1)
    priors = decode(coder.first, values, boxes, first, stride)
    return decode(coder.second, values, priors, second, stride)


def _distances(coder: DistanceCoder, values: Values, predicted: str) -> str:
    graph = values.graph
    if coder.bins > 1:
        logits = graph("Reshape", predicted, [-1, 4, coder.bins])
        bins = np.arange(coder.bins, dtype=np.float32)
        shares = graph("Mul", graph("Softmax", logits, axis=2), bins)
        predicted = graph("ReduceSum", shares, [2], keepdims=0)
    if coder.exponential:
        predicted = graph("Exp", graph("Clip", predicted, -100.0, 40.0))
    return predicted


def _halves(values: Values, rows: str) -> tuple[str, ...]:
    return values.graph.several("Split", 2, rows, [2, 2], axis=1)


def _boxes(values: Values, start: str, end: str, clip: bool, inset: float = 0.0) -> str:
    graph = values.graph
    boxes = graph("Concat", start, end, axis=1)
    if not clip:
        return boxes
    sides = graph("Concat", values.size, values.size, axis=0)
    if inset:
        sides = graph("Sub", sides, inset)
    return graph("Min", graph("Max", boxes, 0.0), sides)
