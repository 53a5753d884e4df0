from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes
from lbwdet.errors import shown

MAX_DEPTH = 1 << 14  # channels: sums of so many products fit 32 bits


@dataclass(frozen=True)
class RegionProduct(Operation):
    """Every region's pixels times a matrix of its own, which a network has made for it.

    ``input`` uint8 [n, h, w, c] and ``matrices`` uint8 [n, 1, 1, m]: of these, the channels from
    ``first`` on are a matrix [c, ``channels``], row by row. For each pixel::

        acc[o] = sum over i of (x[i] - zp_x) * (matrix[i][o] - zp_m)      # a whole number
        y = clamp(round(f32(acc[o]) * f32(s_x * s_m / s_y)) + zp_y, 0, maximum)

    the factor computed in float64, the product in float32.

    Output: uint8 [n, h, w, ``channels``].
    """

    input: Annotated[str, Reads(Kind.UINT8)]
    matrices: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8)]
    first: Annotated[int, Range(0, 1 << 24)]
    channels: Annotated[int, Range(1, 1 << 16)]

    def infer(self, shapes: Shapes) -> Map:
        source, matrices = shapes.map(self.input), shapes.map(self.matrices)
        shapes.expect(
            matrices.size == (ONE, ONE) and matrices.rows == source.rows,
            f"{shown(self.matrices)} has not one pixel for each map of {shown(self.input)}",
        )
        shapes.expect(
            source.channels <= MAX_DEPTH,
            f"{source.channels} channels; allowed are {MAX_DEPTH}",
        )
        last = self.first + source.channels * self.channels
        shapes.expect(
            last <= matrices.channels,
            f"a matrix of the numbers {self.first} to {last} of {matrices.channels}",
        )
        scales = shapes.quantized(self.input).scale * shapes.quantized(self.matrices).scale
        shapes.expect_reach(scales / shapes.quantized(self.output).scale * 2.0**31)
        return replace(source, channels=self.channels, quantization=None)

    def compute(self, run: Run) -> Array:
        x, numbers = run.centered(self.input), run.centered(self.matrices)
        n, height, width, inputs = x.shape
        last = self.first + inputs * self.channels
        # Of whole numbers, products and sums are exact in float64.
        matrices = numbers[:, 0, 0, self.first : last].reshape(n, inputs, self.channels)
        pixels = x.reshape(n, height * width, inputs).astype(np.float64)
        sums = pixels @ matrices.astype(np.float64)
        real = sums.astype(np.float32) * np.float32(self._factor(run))
        return run.store(self.output, real.reshape(n, height, width, self.channels))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"factor": self._factor(context)}

    def _factor(self, context: Context) -> float:
        scales = context.scale(self.input) * context.scale(self.matrices)
        return float(np.float32(scales / context.scale(self.output)))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x = random_cases.feature_map(random, max_side=6, count=int(random.integers(1, 5)))
        channels, first = int(random.integers(1, 30)), int(random.integers(0, 3))
        count = first + x.shape[-1] * channels + int(random.integers(0, 3))
        matrices = random_cases.codes(random, (len(x), 1, 1, count))
        values = {"x": x, "m": matrices}
        quantizations = {
            name: random_cases.quantization_of(random, value) for name, value in values.items()
        }
        quantizations["y"] = random_cases.output_quantization(random)
        return Example(cls("x", "m", "y", first, channels), values, quantizations)
