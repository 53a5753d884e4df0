from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class AdaptiveMaxPool(Operation):
    """A map in another map's size: the largest number of each pixel's share.

    Row i of h is the largest of the input's rows ``(i * h_x) // h`` up to and without
    ``ceil((i + 1) * h_x / h)``; columns alike. Shares may have rows in common, where h is no whole
    part of h_x.
    """

    input: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8, quantized_like="input")]
    like: Annotated[str, Reads(Kind.MAP, steps=True)]

    def infer(self, shapes: Shapes) -> Map:
        source, like = shapes.map(self.input), shapes.map(self.like)
        return replace(source, height=like.height, width=like.width, quantization=None)

    def compute(self, run: Run) -> Array:
        rows = _largest(run.values[self.input], 1, run.values[self.like].shape[1])
        return _largest(rows, 2, run.values[self.like].shape[2])

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x = random_cases.feature_map(random)
        like = random_cases.feature_map(random, count=len(x))
        values = {"x": x, "like": like}
        quantizations = {
            name: random_cases.quantization_of(random, v) for name, v in values.items()
        }
        return Example(cls("x", "y", "like"), values, quantizations | {"y": quantizations["x"]})


def _largest(x: Array, axis: int, count: int) -> Array:
    """Along one axis."""
    size = x.shape[axis]
    shares = [range(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
    return np.stack([x.take(share, axis).max(axis) for share in shares], axis)
