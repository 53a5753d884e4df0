from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Rows, Shapes


@dataclass(frozen=True)
class Regions(Operation):
    """The boxes [n, 4] of candidates, for what is cut from maps."""

    input: Annotated[str, Reads(Kind.CANDIDATES)]
    output: Annotated[str, Writes(Kind.BOXES)]

    def infer(self, shapes: Shapes) -> Rows:
        return Rows(Kind.BOXES, origin=shapes.origin(self.input))

    def compute(self, run: Run) -> Array:
        return np.ascontiguousarray(run.values[self.input][:, :4])

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        return Example(
            cls("x", "y"), {"x": random_cases.candidates(random, int(random.integers(0, 20)))}
        )
