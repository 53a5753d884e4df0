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
class Quantize(Operation):
    """A float32 map in integers, for who reads a prediction as a feature map.

    With ``inverse[c] = f32(1 / s_y)``, computed in float64, in float32::

        y = clamp(round(x * inverse[c]) + zp_y, 0, maximum)

    What is no number becomes 0. Where channels have steps of their own, s_y is that of channel c.
    """

    input: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.UINT8, steps=True)]

    def infer(self, shapes: Shapes) -> Map:
        inverse = 1 / shapes.quantized(self.output).steps
        shapes.expect_reach(float(inverse.max()))
        return replace(shapes.map(self.input), quantization=None)

    def compute(self, run: Run) -> Array:
        if self.output not in run.quantizations:
            return run.values[self.input]
        numbers = run.values[self.input] * self._inverse(run)
        return run.store(self.output, np.where(np.isnan(numbers), np.float32(-np.inf), numbers))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"inverse": self._inverse(context).reshape(-1)}

    def _inverse(self, context: Context) -> Array:
        return np.asarray((1 / context.steps(self.output)).astype(np.float32))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        shape = random_cases.feature_map(random).shape
        x = random.normal(0, 2, shape).astype(np.float32)
        if random.random() < 0.3:
            struck = random.random(shape) < 0.1
            hostile = np.array([1e38, -1e38, -0.0], np.float32)
            x[struck] = random.choice(hostile, int(struck.sum()))
        quantization = random_cases.output_quantization(random)
        if random.random() < 0.3:
            steps = random_cases.exponents(random, shape[-1])
            quantization = replace(quantization, exponents=steps)
        return Example(cls("x", "y"), {"x": x}, {"y": quantization})
