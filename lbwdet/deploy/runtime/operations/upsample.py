from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.convolution import upsample
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class Upsample(Operation):
    """A map in another size, by nearest neighbours.

    Pixel (i, j) of the output [n, h, w, c] is read at ``(i * h_x) // h, (j * w_x) // w``. The
    output's height and width are those of ``like``, or, without it, ``factor`` times the input's.
    """

    input: Annotated[str, Reads(Kind.UINT8, steps=True)]
    output: Annotated[str, Writes(Kind.UINT8, quantized_like="input", steps=True)]
    factor: Annotated[tuple[int, int], Range(1, 64)] = (1, 1)
    like: Annotated[str, Reads(Kind.MAP, steps=True)] | None = None

    def infer(self, shapes: Shapes) -> Map:
        source = replace(shapes.map(self.input), quantization=None)
        if self.like is not None:
            shapes.expect(self.factor == (1, 1), "it has a factor beside the size of another map")
            like = shapes.map(self.like)
            return replace(source, height=like.height, width=like.width)
        shapes.expect(
            source.height.divisor == source.width.divisor == 1,
            "the input's sides are rounded down, so that their multiples are not those of a map; "
            "give the map whose size it takes",
        )
        return replace(
            source,
            height=source.height.times(self.factor[0]),
            width=source.width.times(self.factor[1]),
        )

    def compute(self, run: Run) -> Array:
        x = run.values[self.input]
        if self.like is not None:
            return upsample(x, *run.values[self.like].shape[1:3])
        return upsample(x, x.shape[1] * self.factor[0], x.shape[2] * self.factor[1])

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x = random_cases.feature_map(random)
        quantization = random_cases.quantization_of(random, x)
        values, quantizations = {"x": x}, {"x": quantization, "y": quantization}
        if random.integers(2):
            factor = (int(random.integers(1, 4)), int(random.integers(1, 4)))
            return Example(cls("x", "y", factor), values, quantizations)
        values["like"] = random_cases.feature_map(random, count=x.shape[0])
        quantizations["like"] = random_cases.quantization_of(random, values["like"])
        return Example(cls("x", "y", like="like"), values, quantizations)
