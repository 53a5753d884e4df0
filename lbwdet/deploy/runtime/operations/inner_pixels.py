from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.proposals import is_inner
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class InnerPixels(Operation):
    """A map that is zero at its rim: at pixels that propose no box (Deformable DETR, two stages).

    Of a side of n pixels, a pixel i is inside if, in float32, ``margin < p`` and
    ``p < 1 - margin``, where ``p = (i + 0.5) / n``. Elsewhere the output is the zero point.
    """

    input: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8, quantized_like="input")]
    margin: Annotated[float, Range(0, 0.5)] = 0.01

    def infer(self, shapes: Shapes) -> Map:
        return shapes.map(self.input)

    def compute(self, run: Run) -> Array:
        x = run.values[self.input]
        inner = is_inner(x.shape[1], x.shape[2], self.margin)[..., None]
        return np.where(inner, x, x.dtype.type(run.zero_point(self.input)))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x = random_cases.feature_map(random)
        quantization = random_cases.quantization_of(random, x)
        operation = cls("x", "y", float(random.choice([0.01, 0.07, 0.21])))
        return Example(operation, {"x": x}, {"x": quantization, "y": quantization})
