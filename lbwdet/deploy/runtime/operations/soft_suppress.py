from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import best_first, exp, overlaps
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Rows, Shapes


@dataclass(frozen=True)
class SoftSuppress(Operation):
    """Soft non-maximum suppression: candidates that overlap a better one lose score.

    Of each class, or of ``all`` together, in turn: the candidate with the highest score that is
    left (ties: the earlier one) is kept with this score; the score of every other one is multiplied
    by a weight, and those that have less than ``min_score`` are dropped. With the overlap ``iou``
    of the two, as in ``Suppress``, or 0 where that is no number (of boxes without end), the weight
    is, in float32::

        linear      1 - iou if iou >= iou_threshold, else 1
        naive       0 if iou >= iou_threshold, else 1
        gaussian    f32(exp(max(f64(-(iou * iou) / f32(sigma)), -700)))      # in float64

    with the ``exp`` of :mod:`lbwdet.deploy.runtime.coders`. Of all that were kept, the
    ``max_boxes`` with the highest scores remain, best first (ties: the earlier candidate).

    Output: candidates [n, 7].
    """

    float32: ClassVar[str] = "overlaps of boxes"

    input: Annotated[str, Reads(Kind.CANDIDATES)]
    output: Annotated[str, Writes(Kind.CANDIDATES)]
    iou_threshold: Annotated[float, Range(0, 1)]
    max_boxes: Annotated[int, Range(1, 100_000)]
    group: Literal["class", "all"] = "class"
    method: Literal["naive", "linear", "gaussian"] = "linear"
    sigma: Annotated[float, Range(1e-3, 1e3)] = 0.5
    min_score: Annotated[float, Range(0, 1)] = 1e-3

    def infer(self, shapes: Shapes) -> Rows:
        return replace(shapes.candidates(self.input), origin="")

    def compute(self, run: Run) -> Array:
        rows = run.values[self.input].copy()
        groups = np.zeros(len(rows)) if self.group == "all" else rows[:, 5]
        kept: list[int] = []
        for group in np.unique(groups):
            kept += self._keep(rows, np.flatnonzero(groups == group))
        survivors = rows[sorted(kept)]
        return survivors[best_first(survivors[:, 4])[: self.max_boxes]]

    def _keep(self, rows: Array, members: Array) -> list[int]:
        """Numbers of a group's rows that are kept; the rows get their new scores."""
        kept: list[int] = []
        while len(members):
            best = members[rows[members, 4].argmax()]
            kept.append(int(best))
            members = members[members != best]
            sides = np.ascontiguousarray(rows[[best, *members], :4].T)
            overlap = overlaps(sides)
            rows[members, 4] *= self._weights(np.where(np.isnan(overlap), np.float32(0), overlap))
            members = members[~(rows[members, 4] < np.float32(self.min_score))]
        return kept

    def _weights(self, overlap: Array) -> Array:
        if self.method == "gaussian":
            powers = (-(overlap * overlap) / np.float32(self.sigma)).astype(np.float64)
            return exp(np.maximum(powers, -700)).astype(np.float32)
        less = np.zeros_like(overlap) if self.method == "naive" else np.float32(1) - overlap
        return np.where(overlap >= np.float32(self.iou_threshold), less, np.float32(1))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        operation = cls(
            "x",
            "y",
            iou_threshold=float(random.choice([0.0, 0.3, 0.7])),
            max_boxes=int(random.choice([1, 10, 1000])),
            group=("class", "all")[int(random.integers(2))],
            method=("naive", "linear", "gaussian")[int(random.integers(3))],
            sigma=float(random.choice([0.1, 0.5])),
            min_score=float(random.choice([0.0, 1e-3, 0.2])),
        )
        rows = random_cases.candidates(random, int(random.integers(0, 80)))
        return Example(operation, {"x": rows})
