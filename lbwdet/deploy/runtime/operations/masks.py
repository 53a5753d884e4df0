from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import sigmoid
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes
from lbwdet.errors import shown


@dataclass(frozen=True)
class Masks(Operation):
    """Which parts of its box each candidate covers: probabilities float32 [n, h, w, 1].

    ``scores`` float32 [n, h, w, C] are logits of every class, of which that of the candidate's own
    counts; or [n, h, w, 1] whatever its class. Their sigmoid p is that of ``Candidates``. As uint8
    it is ``clamp(round(p * f32(1 / s_y)) + zp_y, 0, maximum)``.
    """

    float32: ClassVar[str] = "probabilities"

    scores: Annotated[str, Reads(Kind.FLOAT)]
    candidates: Annotated[str, Reads(Kind.CANDIDATES)]
    output: Annotated[str, Writes(Kind.MAP)]

    def infer(self, shapes: Shapes) -> Map:
        scores, classes = shapes.map(self.scores), shapes.candidates(self.candidates).classes
        shapes.expect(
            shapes.origin(scores.rows) == shapes.origin(self.candidates),
            f"{shown(self.scores)} has not one map for each of {shown(self.candidates)}",
        )
        shapes.expect(
            scores.channels in (1, classes), f"{scores.channels} scores for {classes} classes"
        )
        return replace(scores, channels=1, quantization=None)

    def compute(self, run: Run) -> Array:
        scores, labels = run.values[self.scores], run.values[self.candidates][:, 5].astype(np.int64)
        if scores.shape[-1] > 1:
            scores = np.take_along_axis(scores, labels[:, None, None, None], 3)
        return run.store(self.output, sigmoid(scores) * self._factor(run))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"factor": float(self._factor(context))}

    def _factor(self, context: Context) -> np.float32:
        """1 of reals."""
        if self.output not in context.quantizations:
            return np.float32(1)
        return np.float32(1 / context.scale(self.output))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        rows = random_cases.candidates(random, int(random.integers(0, 9)))
        channels = 3 if random.random() < 0.7 else 1
        sides = (int(side) for side in random.integers(1, 9, 2))
        scores = random.normal(0, 3, (len(rows), *sides, channels)).astype(np.float32)
        values = {"scores": scores, "candidates": rows}
        operation = cls("scores", "candidates", "y")
        if random.integers(2):
            return Example(operation, values)
        return Example(operation, values, {"y": random_cases.output_quantization(random)})
