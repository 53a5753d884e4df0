from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import sigmoid
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class Peaks(Operation):
    """The scores of a map that no neighbour exceeds; 0 for all others.

    A score is the sigmoid of a logit, as in ``Candidates``. It stays if it is the largest of its
    channel among ``before`` rows above it to ``after`` below, and as many columns; what lies
    outside of the map does not count.
    """

    float32: ClassVar[str] = "scores"

    input: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    before: Annotated[int, Range(0, 16)]
    after: Annotated[int, Range(0, 16)]

    def infer(self, shapes: Shapes) -> Map:
        return replace(shapes.map(self.input), quantization=None)

    def compute(self, run: Run) -> Array:
        scores = sigmoid(run.values[self.input])
        largest = scores
        for axis in (1, 2):
            largest = self._largest(largest, axis)
        return np.where(scores == largest, scores, np.float32(0))

    def _largest(self, scores: Array, axis: int) -> Array:
        """Of each number and its neighbours along an axis."""
        around = [(0, 0)] * scores.ndim
        around[axis] = (self.before, self.after)
        padded, size = np.pad(scores, around), scores.shape[axis]  # no score is below 0
        shifts = range(self.before + self.after + 1)
        parts = [np.take(padded, np.arange(size) + shift, axis) for shift in shifts]
        return np.asarray(np.maximum.reduce(parts))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        shape = random_cases.feature_map(random).shape
        # Whole halves, so that ties occur.
        logits = (np.rint(random.normal(0, 3, shape)) / 2).astype(np.float32)
        before, after = (int(number) for number in random.integers(0, 4, 2))
        return Example(cls("x", "y", before, after), {"x": logits})
