"""Boxes from priors and what a network predicts for them, in float32."""

import functools

import numpy as np

from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.coders import Coder, DeltaCoder, DistanceCoder
from lbwdet.errors import ConfigError


@functools.singledispatch
def decode(coder: Coder, values: Values, boxes: str, deltas: str) -> str:
    """Boxes [n, 4] from priors and deltas [n, 4].

    Raises:
        ConfigError: there is no export for the coder.
    """
    known = sorted(kind.__name__ for kind in decode.registry if kind is not object)
    raise ConfigError(f"ONNX export knows no {type(coder).__name__}; it knows {', '.join(known)}")


@decode.register
def delta(coder: DeltaCoder, values: Values, boxes: str, deltas: str) -> str:
    graph = values.graph
    if coder.stds != (1.0,) * 4:
        deltas = graph("Mul", deltas, np.array(coder.stds, np.float32))
    if coder.means != (0.0,) * 4:
        deltas = graph("Add", deltas, np.array(coder.means, np.float32))
    start, end = _halves(values, boxes)
    move, stretch = _halves(values, deltas)
    size = graph("Sub", end, start)
    center = graph("Mul", graph("Add", start, end), 0.5)
    center = graph("Add", center, graph("Mul", size, move))
    largest = coder.max_log_ratio
    size = graph("Mul", size, graph("Exp", graph("Clip", stretch, -largest, largest)))
    half = graph("Mul", size, 0.5)
    return _boxes(values, graph("Sub", center, half), graph("Add", center, half), coder.clip)


@decode.register
def distance(coder: DistanceCoder, values: Values, boxes: str, deltas: str) -> str:
    graph = values.graph
    center = graph("Mul", graph("Add", *_halves(values, boxes)), 0.5)
    before, after = _halves(values, graph("Mul", deltas, coder.scale))
    return _boxes(values, graph("Sub", center, before), graph("Add", center, after), coder.clip)


def _halves(values: Values, rows: str) -> tuple[str, ...]:
    return values.graph.several("Split", 2, rows, [2, 2], axis=1)


def _boxes(values: Values, start: str, end: str, clip: bool) -> str:
    graph = values.graph
    boxes = graph("Concat", start, end, axis=1)
    if not clip:
        return boxes
    sides = graph("Concat", values.size, values.size, axis=0)
    return graph("Min", graph("Max", boxes, 0.0), sides)
