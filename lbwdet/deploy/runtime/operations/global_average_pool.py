from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes

_MAX_REAL = 2.0**80


@dataclass(frozen=True)
class GlobalAveragePool(Operation):
    """The average of all pixels of a uint8 map, by channel: a map of one pixel.

    With ``ratio = f32(s_x / s_y)``, computed in float64, and ``count`` pixels::

        sum = sum over the pixels of x - zp_x            # a whole number of 64 bits
        t   = f32(sum) * (ratio / f32(count))            # in float32, as written
        y   = clamp(round(t) + zp_y, 0, maximum)
    """

    input: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8)]

    def infer(self, shapes: Shapes) -> Map:
        scale, wanted = (shapes.quantized(name).scale for name in (self.input, self.output))
        shapes.expect(
            255 * scale / wanted < _MAX_REAL, "the scales of input and output are too far apart"
        )
        return replace(shapes.map(self.input), height=ONE, width=ONE, quantization=None)

    def compute(self, run: Run) -> Array:
        x = run.centered(self.input)
        # Of integers exact: they stay below 2**53.
        total = x.sum((1, 2), dtype=np.float64, keepdims=True).astype(np.float32)
        count = np.float32(x.shape[1] * x.shape[2])
        return run.store(self.output, total * (run.ratio(self.input, self.output) / count))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratio": float(context.ratio(self.input, self.output))}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x = random_cases.feature_map(random)
        quantizations = {
            "x": random_cases.quantization_of(random, x),
            "y": random_cases.output_quantization(random),
        }
        return Example(cls("x", "y"), {"x": x}, quantizations)
