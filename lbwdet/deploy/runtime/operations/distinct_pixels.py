from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime.arithmetic.boxes import sigmoid, suppress
from lbwdet.deploy.runtime.arithmetic.proposals import counted
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes, Side


@dataclass(frozen=True)
class DistinctPixels(Operation):
    """The numbers of pixels with the best scores whose boxes do not overlap (DDQ, 2303.12776).

    The pixels of all ``scores`` are numbered map after map, in the order y, x; those of ``boxes``
    alike. A pixel's score is the sigmoid of its largest logit; its box, of the sigmoids (x, y, w,
    h) of its four logits, in float32, ``x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h``. In
    the order of scores (of equal ones the lower number first) a pixel is dropped if its box's
    overlap with a kept one's, as ``Suppress`` has it, is above ``iou_threshold``. With ``among``,
    numbers of pixels (others name none), no other pixel counts, unless the first is one of them:
    then all do. Output: float32 [1, 1, ``count``, 1], best first; where there are fewer, the last
    numbers are -1.
    """

    float32: ClassVar[str] = "the best of boxes that overlap"

    scores: Annotated[tuple[str, ...], Reads(Kind.FLOAT), Length(1, 16)]
    boxes: Annotated[tuple[str, ...], Reads(Kind.FLOAT), Length(1, 16)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    count: Annotated[int, Range(1, 1 << 15)]
    iou_threshold: Annotated[float, Range(0, 1)]
    among: Annotated[str, Reads(Kind.FLOAT)] | None = None

    def infer(self, shapes: Shapes) -> Map:
        shapes.per_level(self.scores, self.boxes)
        for one, other in zip(self.scores, self.boxes, strict=True):
            scores, boxes = shapes.image_map(one), shapes.image_map(other)
            shapes.expect(
                scores.size == boxes.size and boxes.channels == 4,
                "there is not a box for each score",
            )
        if self.among is not None:
            among = shapes.image_map(self.among)
            shapes.expect(
                (among.channels, among.height) == (1, ONE), "pixels are named by a row of numbers"
            )
        return Map(1, ONE, Side(0, self.count))

    def compute(self, run: Run) -> Array:
        best = [run.values[name].max(-1) for name in self.scores]
        found = np.full((len(best[0]), 1, self.count, 1), -1, np.float32)
        for image, row in enumerate(found[:, 0, :, 0]):
            scores = sigmoid(np.concatenate([x[image].reshape(-1) for x in best]))
            logits = np.concatenate([run.values[name][image].reshape(-1, 4) for name in self.boxes])
            middle, side = np.split(sigmoid(logits), 2, 1)
            half = np.float32(0.5) * side
            boxes = np.concatenate([middle - half, middle + half], 1)
            counts = np.arange(len(scores))
            if self.among is not None:
                counts = counts[counted(run.values[self.among], len(scores))]
            kept = suppress(
                boxes[counts], scores[counts], np.zeros(len(counts)), self.iou_threshold
            )
            chosen = counts[kept[: self.count]]
            row[: len(chosen)] = chosen
        return found

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        levels, channels = int(random.integers(1, 4)), int(random.integers(1, 4))
        values: dict[str, Array] = {}
        for level in range(levels):
            sides = random.integers(1, 9, 2)
            # Whole halves, so that ties occur, and many boxes that are almost the same.
            scores = np.rint(random.normal(0, 4, (1, *sides, channels))) / 2
            boxes = np.rint(random.normal(0, 1, (1, *sides, 4))) + random.normal(0, 0.1, 4)
            values |= {
                f"s{level}": scores.astype(np.float32),
                f"b{level}": boxes.astype(np.float32),
            }
        scores_, boxes_ = (tuple(f"{name}{level}" for level in range(levels)) for name in "sb")
        among = None
        if random.integers(2):
            among, pixels = "among", sum(values[name].size for name in scores_) // channels
            values[among] = random.integers(-1, pixels + 1, (1, 1, 9, 1)).astype(np.float32)
        count, threshold = int(random.choice([1, 5, 90])), float(random.choice([0.3, 0.8]))
        return Example(cls(scores_, boxes_, "y", count, threshold, among), values)
