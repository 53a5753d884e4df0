from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import exp, overlaps
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Rows, Shapes
from lbwdet.errors import shown


@dataclass(frozen=True)
class Vote(Operation):
    """Candidates whose boxes are means of all that overlap them: score voting of PAA.

    The voters of a candidate of ``input`` are those of ``voters`` that have its class and overlap
    it by more than ``iou_threshold``, as in ``Suppress``. In float64, with the ``exp`` of
    :mod:`lbwdet.deploy.runtime.coders`, sums in the order of the voters, and s the float32
    ``sharpness``::

        weight = exp(-((1 - iou) * (1 - iou)) / s) * score
        x1     = f32(sum of weight * x1 / sum of weight)        # and y1, x2, y2

    A box whose weights do not sum to more than 0 stays; so do score, class and level.
    """

    float32: ClassVar[str] = "overlaps and means of boxes"

    input: Annotated[str, Reads(Kind.CANDIDATES)]
    voters: Annotated[str, Reads(Kind.CANDIDATES)]
    output: Annotated[str, Writes(Kind.CANDIDATES)]
    iou_threshold: Annotated[float, Range(0, 1)] = 0.01
    sharpness: Annotated[float, Range(0.002, 1e6)] = 0.025

    def infer(self, shapes: Shapes) -> Rows:
        found, voters = shapes.candidates(self.input), shapes.candidates(self.voters)
        shapes.expect(
            found.classes == voters.classes,
            f"{shown(self.input)} and {shown(self.voters)} are candidates of other classes",
        )
        return found

    def compute(self, run: Run) -> Array:
        rows, voters = run.values[self.input].copy(), run.values[self.voters]
        sharpness = np.float64(np.float32(self.sharpness))
        for row in rows:
            mine = voters[voters[:, 5] == row[5]]
            iou = overlaps(np.vstack([row[:4], mine[:, :4]]).T)
            near = iou > np.float32(self.iou_threshold)
            mine, apart = mine[near], 1 - iou[near].astype(np.float64)
            weight = exp(-(apart * apart) / sharpness) * mine[:, 4]
            # Unlike a sum, a cumulative one has an order.
            total = np.cumsum(weight)[-1:]
            if (total > 0).all() and len(total):
                row[:4] = np.cumsum(weight[:, None] * mine[:, :4], 0)[-1] / total
        return rows

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        voters = random_cases.candidates(random, int(random.integers(1, 100)))
        voters[:, 4] = np.abs(voters[:, 4]) + np.float32(0.01)
        kept = voters[: int(random.integers(0, len(voters) + 1))].copy()
        operation = cls("x", "v", "y", float(random.choice([0.0, 0.01, 0.5])))
        return Example(operation, {"x": kept, "v": voters})
