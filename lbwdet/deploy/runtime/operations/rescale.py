from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Rows, Shapes


@dataclass(frozen=True)
class Rescale(Operation):
    """Candidates in pixels of the original image.

    Boxes are multiplied by ``f32(1 / f32(resized / original))`` per axis, in float32; the
    quotient ``resized / original`` is float64.
    """

    float32: ClassVar[str] = "boxes"

    input: Annotated[str, Reads(Kind.CANDIDATES)]
    output: Annotated[str, Writes(Kind.CANDIDATES)]

    def infer(self, shapes: Shapes) -> Rows:
        return replace(shapes.candidates(self.input), origin=shapes.origin(self.input))

    def compute(self, run: Run) -> Array:
        y, x = (
            np.float32(1) / np.float32(resized / original)
            for resized, original in zip(run.resized, run.image.shape[:2], strict=True)
        )
        rows = run.values[self.input].copy()
        rows[:, :4] *= np.array([x, y, x, y])
        return rows

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        height, width = (int(side) for side in random.integers(1, 300, 2))
        rows = random_cases.candidates(random, int(random.integers(0, 20)))
        image = np.zeros((height, width, 3), np.uint8)
        return Example(cls("x", "y"), {"x": rows}, image=image, resized=(60, 90))
