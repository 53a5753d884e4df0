from typing import Annotated, ClassVar, Literal

import numpy as np

from lbwdet.deploy.runtime.arithmetic.boxes import best_first, sigmoid, softmax
from lbwdet.deploy.runtime.arithmetic.proposals import counted
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Rows, Shapes


@dataclass(frozen=True)
class QueryCandidates(Operation):
    """The best boxes of queries: no two queries mean the same object, so that none is suppressed.

    Each pixel of ``scores`` and ``boxes``, in the order y, x, is a query. With ``'softmax'``,
    scores are C + 1 logits, background last, and a query has the class of its largest score (the
    first of equal ones), by a softmax over all, as in ``Candidates``; with ``'sigmoid'``, C logits,
    and every pair (query, class) counts. The ``max_boxes`` best scores are left, in descending
    order; of equal ones the first. A box is four logits; of their sigmoids (x, y, w, h), in
    float32, and with W, H the width and height that boxes are clipped to::

        x1 = min(max((x - 0.5 * w) * W, 0), W)     x2 = min(max((x + 0.5 * w) * W, 0), W)

    y1 and y2 alike, with h and H. With ``among``, numbers of queries (others name none), no other
    query counts, unless the first is one of them: then all do (DDQ, arXiv 2303.12776). Output:
    candidates [m, 7], their level 0.
    """

    float32: ClassVar[str] = "scores and boxes"

    scores: Annotated[str, Reads(Kind.FLOAT)]
    boxes: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.CANDIDATES)]
    num_classes: Annotated[int, Range(1, 100_000)]
    max_boxes: Annotated[int, Range(1, 1 << 20)]
    activation: Literal["softmax", "sigmoid"] = "softmax"
    among: Annotated[str, Reads(Kind.FLOAT)] | None = None

    def infer(self, shapes: Shapes) -> Rows:
        scores, boxes = shapes.image_map(self.scores), shapes.image_map(self.boxes)
        shapes.expect(scores.size == boxes.size, "there is not a box for each query")
        wanted = self.num_classes + (self.activation == "softmax")
        shapes.expect(
            (scores.channels, boxes.channels) == (wanted, 4),
            f"{scores.channels} scores and {boxes.channels} numbers of a box per query; {wanted} "
            "and 4 are expected",
        )
        if self.among is not None:
            among = shapes.image_map(self.among)
            shapes.expect(
                (among.channels, among.height) == (1, ONE), "queries are named by a row of numbers"
            )
        return Rows(Kind.CANDIDATES, self.num_classes)

    def compute(self, run: Run) -> Array:
        logits = run.values[self.scores]
        logits = logits.reshape(-1, logits.shape[-1])
        if self.activation == "softmax":
            scores = softmax(logits)[:, :-1]
            label = scores.argmax(1)
            best = scores[np.arange(len(scores)), label]
            kept = query = self._best(run, best, 1)
            label = label[kept]
        else:
            best = sigmoid(logits).reshape(-1)
            kept = self._best(run, best, self.num_classes)
            query, label = np.divmod(kept, self.num_classes)
        x, y, w, h = sigmoid(run.values[self.boxes].reshape(-1, 4)[query]).T
        half, (height, width) = np.float32(0.5), (np.float32(side) for side in run.bounds)
        sides = [
            np.minimum(np.maximum(place * side, np.float32(0)), side)
            for place, side in (
                (x - half * w, width),
                (y - half * h, height),
                (x + half * w, width),
                (y + half * h, height),
            )
        ]
        columns = [*sides, best[kept], label, np.zeros(len(kept))]
        return np.stack(columns, 1).astype(np.float32)

    def _best(self, run: Run, scores: Array, of_query: int) -> Array:
        """Numbers of the best scores, of which every query has so many."""
        found = best_first(scores)
        if self.among is not None:
            counts = counted(run.values[self.among], len(scores) // of_query)
            found = found[counts[found // of_query]]
        return found[: self.max_boxes]

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        classes, sides = int(random.integers(1, 6)), random.integers(1, 8, 2).tolist()
        kind: Literal["softmax", "sigmoid"] = "softmax" if random.integers(2) else "sigmoid"
        columns = classes + (kind == "softmax")
        values = {
            "scores": random.normal(0, 2, (1, *sides, columns)).astype(np.float32),
            "boxes": random.normal(0, 2, (1, *sides, 4)).astype(np.float32),
        }
        among = None
        if random.integers(2):
            among = "among"
            numbers = random.integers(-1, sides[0] * sides[1] + 1, (1, 1, 5, 1))
            values[among] = numbers.astype(np.float32)
        operation = cls("scores", "boxes", "y", classes, int(random.integers(1, 60)), kind, among)
        return Example(operation, values, image=np.zeros((64, 96, 3), np.uint8), resized=(60, 90))
