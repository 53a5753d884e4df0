from dataclasses import dataclass
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.shapes import Shapes


@dataclass(frozen=True)
class Detections(Operation):
    """The result: candidates as boxes float32 [n, 4], scores float32 [n], labels int64 [n]."""

    input: Annotated[str, Reads(Kind.CANDIDATES)]
    num_classes: Annotated[int, Range(1, 100_000)]

    def infer(self, shapes: Shapes) -> None:
        classes = shapes.candidates(self.input).classes
        shapes.expect(
            classes == self.num_classes, f"candidates of {classes} classes, not {self.num_classes}"
        )

    def compute(self, run: Run) -> tuple[Array, Array, Array]:
        rows = run.values[self.input]
        return rows[:, :4].copy(), rows[:, 4].copy(), rows[:, 5].astype(np.int64)

    @classmethod
    def example(cls, random: np.random.Generator) -> Example:
        return Example(
            cls("x", 3), {"x": random_cases.candidates(random, int(random.integers(0, 20)))}
        )
