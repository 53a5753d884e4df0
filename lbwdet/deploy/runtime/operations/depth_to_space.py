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
class DepthToSpace(Operation):
    """Every pixel becomes a block of pixels, made of its channels.

    With ``f`` the factor, pixel (y, x) of the output [n, h * f, w * f, d], d = c / f**2, has in
    channel k what pixel (y // f, x // f) of the input has in channel
    ``((y % f) * f + x % f) * d + k``.

    A transposed convolution whose stride is its kernel's size is a convolution of one pixel, and
    this after it.
    """

    input: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8, quantized_like="input")]
    factor: Annotated[int, Range(1, 64)]

    def infer(self, shapes: Shapes) -> Map:
        source, block = shapes.map(self.input), self.factor**2
        shapes.expect(
            source.channels % block == 0,
            f"{source.channels} channels make no blocks of {self.factor} x {self.factor} pixels",
        )
        shapes.expect(
            source.height.divisor == source.width.divisor == 1,
            "the input's sides are rounded down, so that their multiples are not those of a map",
        )
        return replace(
            source,
            channels=source.channels // block,
            height=source.height.times(self.factor),
            width=source.width.times(self.factor),
            quantization=None,
        )

    def compute(self, run: Run) -> Array:
        x, factor = run.values[self.input], self.factor
        n, height, width, channels = x.shape
        depth = channels // factor**2
        rows = x.reshape(n, height, width, factor, factor, depth).transpose(0, 1, 3, 2, 4, 5)
        return np.ascontiguousarray(rows.reshape(n, height * factor, width * factor, depth))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        factor = int(random.integers(1, 4))
        x = random_cases.feature_map(random, max_channels=12)
        x = np.repeat(x, factor**2, axis=-1) ^ np.arange(factor**2 * x.shape[-1]).astype(np.uint8)
        x = np.minimum(x, 15) if random.random() < 0.2 else x
        quantization = random_cases.quantization_of(random, x)
        return Example(cls("x", "y", factor), {"x": x}, {"x": quantization, "y": quantization})
