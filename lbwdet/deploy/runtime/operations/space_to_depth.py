from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class SpaceToDepth(Operation):
    """Every block of pixels becomes one pixel, with the channels of all.

    With ``f`` the factor, pixel (y, x) of the output [n, h // f, w // f, c * f**2] has in channel
    ``(k * f + i) * f + j`` what pixel (y * f + i, x * f + j) of the input has in channel k. Rows
    and columns that make no whole block are left out.
    """

    input: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8, quantized_like="input")]
    factor: Annotated[int, Range(1, 64)]

    def infer(self, shapes: Shapes) -> Map:
        source, window = shapes.map(self.input), (self.factor, self.factor, 0)
        found = shapes.windowed(source, (window, window))
        return replace(found, channels=source.channels * self.factor**2)

    def compute(self, run: Run) -> Array:
        x, f = run.values[self.input], self.factor
        n, height, width, channels = x.shape
        h, w = height // f, width // f
        blocks = x[:, : h * f, : w * f].reshape(n, h, f, w, f, channels)
        return blocks.transpose(0, 1, 3, 5, 2, 4).reshape(n, h, w, channels * f * f)

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        factor = int(random.integers(1, 4))
        x = random_cases.feature_map(random, max_channels=12)
        x = np.pad(x, ((0, 0), (0, factor - 1), (0, factor - 1), (0, 0)))
        quantization = random_cases.quantization_of(random, x)
        return Example(cls("x", "y", factor), {"x": x}, {"x": quantization, "y": quantization})
