from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.quantization import rounded
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes

Pair = tuple[int, int]


@dataclass(frozen=True)
class Pad(Operation):
    """A map with pixels added: ``before`` = (above, at the left) and ``after`` = (below, right).

    Every number of theirs is ``clamp(round(value / s_x) + zp_x, 0, maximum)``, in float64. With
    ``reflect`` they are the map's own, mirrored at its outermost pixels: row -i is row i, and row
    h - 1 + i is row h - 1 - i; columns alike. Input and output have the same quantization.
    """

    input: Annotated[str, Reads(Kind.UINT8, steps=True)]
    output: Annotated[str, Writes(Kind.UINT8, quantized_like="input", steps=True)]
    before: Annotated[Pair, Range(0, 1 << 10)]
    after: Annotated[Pair, Range(0, 1 << 10)]
    value: Annotated[float, Range(-1e6, 1e6)] = 0.0
    reflect: bool = False

    def infer(self, shapes: Shapes) -> Map:
        source = shapes.map(self.input)
        if self.reflect:
            sides = zip(source.size, self.before, self.after, strict=True)
            shapes.expect(
                all(side.smallest > max(pixels) for side, *pixels in sides),
                "the map of the smallest image has not as many pixels as are mirrored",
            )
        height, width = (
            side.longer(before + after)
            for side, before, after in zip(source.size, self.before, self.after, strict=True)
        )
        return replace(source, height=height, width=width, quantization=None)

    def compute(self, run: Run) -> Array:
        rows, columns = zip(self.before, self.after, strict=True)
        pads = ((0, 0), rows, columns, (0, 0))
        if self.reflect:
            return np.pad(run.values[self.input], pads, mode="reflect")
        return np.pad(run.values[self.input], pads, constant_values=self._fill(run))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"fill": int(self._fill(context))}

    def _fill(self, context: Context) -> float:
        """The number that pixels are filled with."""
        quantization = context.quantizations.get(self.input)
        if quantization is None:
            return self.value
        return int(rounded(np.array(self.value) / quantization.scale, quantization))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x = random_cases.feature_map(random)
        quantization = random_cases.quantization_of(random, x)
        reflect = bool(random.integers(2))
        most = np.minimum(np.array(x.shape[1:3]) - reflect, 3)
        before, after = ((int(a), int(b)) for a, b in random.integers(0, most + 1, (2, 2)))
        value = 0.0 if reflect else float(random.choice([0.0, 0.7, -100.0]))
        operation = cls("x", "y", before, after, value, reflect)
        return Example(operation, {"x": x}, {"x": quantization, "y": quantization})
