from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import softmax
from lbwdet.deploy.runtime.coders import Coder, DeltaCoder
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.shapes import ONE, Rows, Shapes
from lbwdet.errors import shown


@dataclass(frozen=True)
class RegionCandidates(Operation):
    """Boxes of each class from a region head, before suppression.

    ``scores`` float32 [n, 1, 1, C + 1] are logits, background last; ``deltas`` float32
    [n, 1, 1, 4C], or 4 if ``class_agnostic``. Softmax in float64, as in ``Candidates``. Pairs
    (box, class) with score > ``score_threshold``, in the order of the boxes, then of the classes,
    are decoded from their box by ``coder``.

    Output: candidates [m, 7], their level 0.
    """

    float32: ClassVar[str] = "scores and boxes"

    scores: Annotated[str, Reads(Kind.FLOAT)]
    deltas: Annotated[str, Reads(Kind.FLOAT)]
    boxes: Annotated[str, Reads(Kind.BOXES)]
    output: Annotated[str, Writes(Kind.CANDIDATES)]
    num_classes: Annotated[int, Range(1, 100_000)]
    class_agnostic: bool
    coder: Coder
    score_threshold: Annotated[float, Range(-1, 1)]

    def infer(self, shapes: Shapes) -> Rows:
        scores, deltas = shapes.map(self.scores), shapes.map(self.deltas)
        for name, value in ((self.scores, scores), (self.deltas, deltas)):
            shapes.expect(
                value.rows == self.boxes and value.size == (ONE, ONE),
                f"{shown(name)} is not one pixel per box of {shown(self.boxes)}",
            )
        num_deltas = self.coder.numbers * (1 if self.class_agnostic else self.num_classes)
        shapes.expect(
            (scores.channels, deltas.channels) == (self.num_classes + 1, num_deltas),
            f"{scores.channels} scores and {deltas.channels} deltas per box; "
            f"{self.num_classes + 1} and {num_deltas} are expected",
        )
        return Rows(Kind.CANDIDATES, self.num_classes)

    def compute(self, run: Run) -> Array:
        boxes, classes = run.values[self.boxes], self.num_classes
        if not len(boxes):
            return np.zeros((0, 7), np.float32)
        scores = softmax(run.values[self.scores].reshape(-1, classes + 1))[:, :classes]
        box, label = np.nonzero(scores > np.float32(self.score_threshold))
        deltas = run.values[self.deltas].reshape(len(boxes), -1, self.coder.numbers)
        decoded = self.coder.decode(
            boxes[box], deltas[box, 0 if self.class_agnostic else label], *run.bounds
        )
        rest = np.stack([scores[box, label], label, np.zeros(len(box))], 1)
        return np.concatenate([decoded, rest], 1, dtype=np.float32)

    def constants(self, context: Context) -> dict[str, Constant]:
        return dict(self.coder.constants())

    @classmethod
    def example(cls, random: np.random.Generator) -> Example:
        count, classes = int(random.integers(0, 20)), int(random.integers(1, 6))
        agnostic = bool(random.integers(2))
        number = 4 * (1 if agnostic else classes)
        values = {
            "scores": random.normal(0, 2, (count, 1, 1, classes + 1)).astype(np.float32),
            "deltas": random.normal(0, 2, (count, 1, 1, number)).astype(np.float32),
            "boxes": random_cases.boxes(random, count, 60, 90),
        }
        coder = DeltaCoder((0.0,) * 4, (0.1, 0.1, 0.2, 0.2), 16 / 1000, bool(random.integers(2)))
        operation = cls("scores", "deltas", "boxes", "y", classes, agnostic, coder, 0.05)
        return Example(operation, values, image=np.zeros((64, 96, 3), np.uint8), resized=(60, 90))
