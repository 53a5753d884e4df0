from typing import Annotated, ClassVar, Literal

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import best_first, sigmoid, softmax
from lbwdet.deploy.runtime.coders import Coder, DeltaCoder
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Rows, Shapes


@dataclass(frozen=True)
class RegionCandidates(Operation):
    """Boxes of each class from a region head, before suppression.

    ``scores`` float32 [n, 1, 1, C + 1] are logits, background last; ``deltas`` float32
    [n, 1, 1, 4C], or 4 if ``class_agnostic``. Softmax in float64, as in ``Candidates``. Pairs
    (box, class) with score > ``score_threshold``, in the order of the boxes, then of the classes,
    are decoded from their box by ``coder``.

    With the activation ``'seesaw'``, scores are [n, 1, 1, C + 2], and the last two say whether
    there is an object: the softmax of the first C, times the first of the softmax of these two, in
    float32 (Seesaw loss, Wang et al., CVPR 2021). With ``'sigmoid'``, scores are [n, 1, 1, C], and
    each counts by itself, as in ``Candidates``.

    With ``best`` above 0, the ``best`` highest of these scores alone are left, in descending order
    (ties: the earlier pair). Output: candidates [m, 7], their level 0; with ``numbered``, it is the
    number of the box. At last, the scores are multiplied by the ``factors`` float32 [n, 1, 1, 1] of
    their boxes, if there are some, in float32.
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
    activation: Literal["softmax", "seesaw", "sigmoid"] = "softmax"
    best: Annotated[int, Range(0, 1 << 20)] = 0
    numbered: bool = False
    factors: Annotated[str, Reads(Kind.FLOAT)] | None = None

    def infer(self, shapes: Shapes) -> Rows:
        scores, deltas = (
            shapes.map_of_rows(name, self.boxes) for name in (self.scores, self.deltas)
        )
        num_deltas = self.coder.numbers * (1 if self.class_agnostic else self.num_classes)
        shapes.expect(
            (scores.channels, deltas.channels) == (self._num_scores, num_deltas),
            f"{scores.channels} scores and {deltas.channels} deltas per box; "
            f"{self._num_scores} and {num_deltas} are expected",
        )
        if self.factors is not None:
            factors = shapes.map_of_rows(self.factors, self.boxes).channels
            shapes.expect(factors == 1, f"{factors} factors per box; one is expected")
        numbered = shapes.origin(self.boxes) if self.numbered else ""
        return Rows(Kind.CANDIDATES, self.num_classes, numbered=numbered)

    def compute(self, run: Run) -> Array:
        boxes = run.values[self.boxes]
        if not len(boxes):
            return np.zeros((0, 7), np.float32)
        scores = self._activated(run.values[self.scores].reshape(len(boxes), -1))
        box, label = np.nonzero(scores > np.float32(self.score_threshold))
        if self.best:
            best = best_first(scores[box, label])[: self.best]
            box, label = box[best], label[best]
        deltas = run.values[self.deltas].reshape(len(boxes), -1, self.coder.numbers)
        decoded = self.coder.decode(
            boxes[box], deltas[box, 0 if self.class_agnostic else label], *run.bounds
        )
        level = box if self.numbered else np.zeros(len(box))
        kept = scores[box, label]
        if self.factors is not None:
            kept = kept * run.values[self.factors].reshape(-1)[box]
        rest = np.stack([kept, label, level], 1)
        return np.concatenate([decoded, rest], 1, dtype=np.float32)

    @property
    def _num_scores(self) -> int:
        return self.num_classes + {"softmax": 1, "seesaw": 2, "sigmoid": 0}[self.activation]

    def _activated(self, logits: Array) -> Array:
        """float32 [n, C]."""
        classes = self.num_classes
        if self.activation == "sigmoid":
            return sigmoid(logits)
        if self.activation == "softmax":
            return softmax(logits)[:, :classes]
        return softmax(logits[:, :classes]) * softmax(logits[:, classes:])[:, :1]

    def constants(self, context: Context) -> dict[str, Constant]:
        return dict(self.coder.constants())

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        count, classes = int(random.integers(0, 20)), int(random.integers(1, 6))
        agnostic, kind = bool(random.integers(2)), int(random.choice([0, 0, 1, 2]))
        number = 4 * (1 if agnostic else classes)
        columns = classes + (1, 2, 0)[kind]
        values = {
            "scores": random.normal(0, 2, (count, 1, 1, columns)).astype(np.float32),
            "deltas": random.normal(0, 2, (count, 1, 1, number)).astype(np.float32),
            "boxes": random_cases.boxes(random, count, 60, 90),
        }
        coder = DeltaCoder((0.0,) * 4, (0.1, 0.1, 0.2, 0.2), 16 / 1000, bool(random.integers(2)))
        factors = "factors" if random.integers(2) else None
        if factors:
            values["factors"] = random.uniform(0, 1, (count, 1, 1, 1)).astype(np.float32)
        operation = cls(
            scores="scores",
            deltas="deltas",
            boxes="boxes",
            output="y",
            num_classes=classes,
            class_agnostic=agnostic,
            coder=coder,
            score_threshold=float(random.choice([-1, 0.05])),
            activation=("softmax", "seesaw", "sigmoid")[kind],
            best=int(random.choice([0, 0, 7, 1000])),
            numbered=bool(random.integers(2)),
            factors=factors,
        )
        return Example(operation, values, image=np.zeros((64, 96, 3), np.uint8), resized=(60, 90))
