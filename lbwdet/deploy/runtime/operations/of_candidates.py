from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes
from lbwdet.errors import ArtifactError, shown


@dataclass(frozen=True)
class OfCandidates(Operation):
    """For each candidate, what is known of the box that it was made of.

    ``input`` uint8 [n, 1, 1, c] has a pixel for each box; the level of a candidate is the number of
    its box (``numbered`` of ``RegionCandidates``). Output: uint8 [m, 1, 1, c], of m candidates.
    """

    input: Annotated[str, Reads(Kind.UINT8)]
    candidates: Annotated[str, Reads(Kind.CANDIDATES)]
    output: Annotated[str, Writes(Kind.UINT8, quantized_like="input")]

    def infer(self, shapes: Shapes) -> Map:
        source, rows = shapes.map(self.input), shapes.candidates(self.candidates)
        shapes.expect(
            source.size == (ONE, ONE) and rows.numbered == shapes.origin(source.rows),
            f"{shown(self.candidates)} have no numbers of the boxes of {shown(self.input)}",
        )
        return Map(source.channels, ONE, ONE, rows=shapes.origin(self.candidates))

    def compute(self, run: Run) -> Array:
        known, number = run.values[self.input], run.values[self.candidates][:, 6].astype(np.int64)
        if not ((number >= 0) & (number < len(known))).all():
            raise ArtifactError(f"{self.output}: a candidate of another box than the {len(known)}")
        return np.ascontiguousarray(known[number])

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        rows = random_cases.candidates(random, int(random.integers(0, 9)))
        x = random_cases.codes(random, (10, 1, 1, int(random.integers(1, 20))))
        rows[:, 6] = random.integers(0, len(x), len(rows))
        quantization = random_cases.quantization_of(random, x)
        values = {"x": x, "candidates": rows}
        return Example(cls("x", "candidates", "y"), values, {"x": quantization, "y": quantization})
