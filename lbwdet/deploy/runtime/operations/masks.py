from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import sigmoid
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.shapes import Map, Shapes
from lbwdet.errors import shown


@dataclass(frozen=True)
class Masks(Operation):
    """Which parts of its box each candidate covers: probabilities float32 [n, h, w, 1].

    ``scores`` float32 [n, h, w, C] are logits of every class, of which that of the candidate's own
    counts; or [n, h, w, 1] whatever its class. Their sigmoid is that of ``Candidates``.
    """

    scores: Annotated[str, Reads(Kind.FLOAT)]
    candidates: Annotated[str, Reads(Kind.CANDIDATES)]
    output: Annotated[str, Writes(Kind.FLOAT)]

    def infer(self, shapes: Shapes) -> Map:
        scores, classes = shapes.map(self.scores), shapes.candidates(self.candidates).classes
        shapes.expect(
            shapes.origin(scores.rows) == shapes.origin(self.candidates),
            f"{shown(self.scores)} has not one map for each of {shown(self.candidates)}",
        )
        shapes.expect(
            scores.channels in (1, classes), f"{scores.channels} scores for {classes} classes"
        )
        return replace(scores, channels=1)

    def compute(self, run: Run) -> Array:
        scores, labels = run.values[self.scores], run.values[self.candidates][:, 5].astype(np.int64)
        if scores.shape[-1] > 1:
            scores = np.take_along_axis(scores, labels[:, None, None, None], 3)
        return sigmoid(scores)

    @classmethod
    def example(cls, random: np.random.Generator) -> Example:
        rows = random_cases.candidates(random, int(random.integers(0, 9)))
        channels = 3 if random.random() < 0.7 else 1
        sides = (int(side) for side in random.integers(1, 9, 2))
        scores = random.normal(0, 3, (len(rows), *sides, channels)).astype(np.float32)
        values = {"scores": scores, "candidates": rows}
        return Example(cls("scores", "candidates", "y"), values)
