from dataclasses import dataclass
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class Invert(Operation):
    """The negative of a map: ``y = maximum - x``, with the ``maximum`` of its quantization."""

    input: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8, quantized_like="input")]

    def infer(self, shapes: Shapes) -> Map:
        return shapes.map(self.input)

    def compute(self, run: Run) -> Array:
        quantization = run.quantizations[self.input]
        return np.asarray(np.uint8(quantization.maximum) - run.values[self.input])

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"maximum": context.quantizations[self.input].maximum}

    @classmethod
    def example(cls, random: np.random.Generator) -> Example:
        x = random_cases.feature_map(random)
        quantization = random_cases.quantization_of(random, x)
        return Example(cls("x", "y"), {"x": x}, {"x": quantization, "y": quantization})
