from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.coders import Coder, DeltaCoder
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Rows, Shapes


@dataclass(frozen=True)
class Refine(Operation):
    """Boxes moved by one stage of a cascade, for the next one.

    Every box is decoded by ``coder`` from its ``deltas`` float32 [n, 1, 1, 4]; or, with ``scores``
    float32 [n, 1, 1, at least C], from those of [n, 1, 1, 4C] that belong to the class with the
    highest of the first C scores (ties: the lower class).
    """

    float32: ClassVar[str] = "boxes"

    deltas: Annotated[str, Reads(Kind.FLOAT)]
    boxes: Annotated[str, Reads(Kind.BOXES)]
    output: Annotated[str, Writes(Kind.BOXES)]
    coder: Coder
    num_classes: Annotated[int, Range(1, 100_000)] = 1
    scores: Annotated[str, Reads(Kind.FLOAT)] | None = None

    def infer(self, shapes: Shapes) -> Rows:
        shapes.expect(
            self.coder.numbers == 4, f"a coder of {self.coder.numbers} numbers; allowed are 4"
        )
        deltas = shapes.map_of_rows(self.deltas, self.boxes)
        shapes.expect(
            deltas.channels == 4 * self.num_classes,
            f"{deltas.channels} deltas per box; {4 * self.num_classes} are expected",
        )
        shapes.expect(
            self.scores is not None or self.num_classes == 1, "deltas of classes, without scores"
        )
        if self.scores is not None:
            scores = shapes.map_of_rows(self.scores, self.boxes).channels
            shapes.expect(
                scores >= self.num_classes, f"{scores} scores for {self.num_classes} classes"
            )
        return Rows(Kind.BOXES, origin=shapes.origin(self.boxes))

    def compute(self, run: Run) -> Array:
        boxes, classes = run.values[self.boxes], self.num_classes
        deltas = run.values[self.deltas].reshape(len(boxes), classes, 4)
        label = np.zeros(len(boxes), np.int64)
        if self.scores is not None:
            label = run.values[self.scores][:, 0, 0, :classes].argmax(1)
        chosen = deltas[np.arange(len(boxes)), label]
        return np.asarray(self.coder.decode(boxes, chosen, *run.bounds).astype(np.float32))

    def constants(self, context: Context) -> dict[str, Constant]:
        return dict(self.coder.constants())

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        count = int(random.integers(0, 90))
        classes = int(random.integers(1, 6))
        values = {
            "deltas": random.normal(0, 2, (count, 1, 1, 4 * classes)).astype(np.float32),
            "boxes": random_cases.boxes(random, count, 60, 90),
        }
        if classes > 1:
            extra = int(random.integers(0, 3))
            scores = np.rint(random.normal(0, 2, (count, 1, 1, classes + extra)))
            values["scores"] = scores.astype(np.float32)
        coder = DeltaCoder((0.0,) * 4, (0.1, 0.1, 0.2, 0.2), 16 / 1000, bool(random.integers(2)))
        name = "scores" if classes > 1 else None
        operation = cls("deltas", "boxes", "y", coder, classes, name)
        return Example(operation, values, image=np.zeros((64, 96, 3), np.uint8), resized=(60, 90))
