from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class Maximum(Operation):
    """The larger of two maps' numbers.

    With ``ratio[i] = f32(s_i / s_y)``, computed in float64, in float32 as written::

        t = max(f32(x_0 - zp_0) * ratio[0], f32(x_1 - zp_1) * ratio[1])
        y = clamp(round(t) + zp_y, 0, maximum)
    """

    first: Annotated[str, Reads(Kind.UINT8)]
    second: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8)]

    def infer(self, shapes: Shapes) -> Map:
        first, second = (
            replace(shapes.map(name), quantization=None) for name in (self.first, self.second)
        )
        shapes.expect(first == second, "the two maps differ in size")
        for name in (self.first, self.second):
            shapes.expect_reach(shapes.ratio(name, self.output))
        return first

    def compute(self, run: Run) -> Array:
        names = (self.first, self.second)
        terms = [
            run.centered(name) * ratio
            for name, ratio in zip(names, run.ratios(names, self.output), strict=True)
        ]
        return run.store(self.output, np.maximum(*terms))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratios": context.ratios((self.first, self.second), self.output)}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        first = random_cases.feature_map(random)
        values = {"a": first, "b": random_cases.codes(random, first.shape)}
        quantizations = {
            name: random_cases.quantization_of(random, value) for name, value in values.items()
        }
        quantizations["y"] = random_cases.output_quantization(random)
        return Example(cls("a", "b", "y"), values, quantizations)
