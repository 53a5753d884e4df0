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
class Rescore(Operation):
    """Candidates, in their order, with another score: times a factor, in float32.

    ``factors`` float32 [n, 1, 1, C] are those of every class, of which that of the candidate's own
    counts.
    """

    float32: ClassVar[str] = "scores"

    input: Annotated[str, Reads(Kind.CANDIDATES)]
    factors: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.CANDIDATES)]

    def infer(self, shapes: Shapes) -> Rows:
        rows = shapes.candidates(self.input)
        factors = shapes.map_of_rows(self.factors, self.input)
        shapes.expect(
            factors.channels == rows.classes,
            f"{factors.channels} factors for {rows.classes} classes",
        )
        return replace(rows, origin=shapes.origin(self.input))

    def compute(self, run: Run) -> Array:
        rows = run.values[self.input].copy()
        factors = run.values[self.factors][:, 0, 0]
        rows[:, 4] *= factors[np.arange(len(rows)), rows[:, 5].astype(np.int64)]
        return rows

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        rows = random_cases.candidates(random, int(random.integers(0, 20)))
        factors = random.normal(0, 1, (len(rows), 1, 1, 3)).astype(np.float32)
        return Example(cls("x", "factors", "y"), {"x": rows, "factors": factors})
