from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import suppress
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Rows, Shapes

_COLUMN = {"class": 5, "level": 6}


@dataclass(frozen=True)
class Suppress(Operation):
    """Non-maximum suppression: of candidates that overlap, the best.

    In the order of scores (ties: the earlier one), a candidate is dropped if its overlap with a
    kept one of its ``group`` is above ``iou_threshold``; the groups are the ``class``, the
    ``level``, or ``all`` together. With ``fast`` (Bolya et al., YOLACT, ICCV 2019) those that were
    dropped drop others, too; with ``most_of_group`` above 0, only so many of a group count, the
    best. The best ``max_boxes`` remain, best first. overlap, in float32::

        inter = max(min(x2, x2') - max(x1, x1'), 0) * max(min(y2, y2') - max(y1, y1'), 0)
        iou   = inter / (area + area' - inter)               # 0 / 0 counts as 0

    Output: candidates [n, 7].
    """

    float32: ClassVar[str] = "overlaps of boxes"

    input: Annotated[str, Reads(Kind.CANDIDATES)]
    output: Annotated[str, Writes(Kind.CANDIDATES)]
    iou_threshold: Annotated[float, Range(0, 1)]
    max_boxes: Annotated[int, Range(1, 100_000)]
    group: Literal["class", "level", "all"]
    fast: bool = False
    most_of_group: Annotated[int, Range(0, 100_000)] = 0

    def infer(self, shapes: Shapes) -> Rows:
        return replace(shapes.candidates(self.input), origin="")

    def compute(self, run: Run) -> Array:
        rows = run.values[self.input]
        groups = np.zeros(len(rows)) if self.group == "all" else rows[:, _COLUMN[self.group]]
        limits = self.iou_threshold, self.fast, self.most_of_group
        kept = suppress(rows[:, :4], rows[:, 4], groups, *limits)
        return rows[kept[: self.max_boxes]]

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        rows = random_cases.candidates(random, int(random.integers(0, 200)))
        operation = cls(
            "x",
            "y",
            float(random.choice([0.0, 0.3, 0.7, 1.0])),
            int(random.choice([1, 10, 1000])),
            ("class", "level", "all")[int(random.integers(3))],
            bool(random.integers(2)),
            int(random.choice([0, 0, 5, 40])),
        )
        return Example(operation, {"x": rows})
