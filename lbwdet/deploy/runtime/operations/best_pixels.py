from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime.arithmetic.boxes import best_first
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes, Side


@dataclass(frozen=True)
class BestPixels(Operation):
    """The numbers of the pixels with the largest scores, best first: which become queries.

    The pixels of all ``scores`` are numbered map after map, in the order y, x. A pixel's score is
    the largest of its first ``classes`` channels; of equal ones the lower number is better. Output:
    float32 [1, 1, ``count``, 1]; where there are fewer pixels, the last numbers are -1.
    """

    float32: ClassVar[str] = "the best of all scores"

    scores: Annotated[tuple[str, ...], Reads(Kind.FLOAT), Length(1, 16)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    count: Annotated[int, Range(1, 1 << 15)]
    classes: Annotated[int, Range(1, 100_000)]

    def infer(self, shapes: Shapes) -> Map:
        maps = [shapes.image_map(name) for name in self.scores]
        shapes.expect(
            min(each.channels for each in maps) >= self.classes,
            f"a map has fewer than {self.classes} scores per pixel",
        )
        return Map(1, ONE, Side(0, self.count))

    def compute(self, run: Run) -> Array:
        best = [run.values[name][..., : self.classes].max(-1) for name in self.scores]
        found = np.full((len(best[0]), 1, self.count, 1), -1, np.float32)
        for row, *maps in zip(found[:, 0, :, 0], *best, strict=True):
            chosen = best_first(np.concatenate([x.reshape(-1) for x in maps]))[: self.count]
            row[: len(chosen)] = chosen
        return found

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        names, channels = ("a", "b", "c")[: int(random.integers(1, 4))], int(random.integers(1, 6))
        values = {  # whole halves, so that ties occur
            name: (
                np.rint(random.normal(0, 4, (1, *random.integers(1, 9, 2), channels))) / 2
            ).astype(np.float32)
            for name in names
        }
        count, classes = int(random.integers(1, 80)), int(random.integers(1, channels + 1))
        return Example(cls(names, "y", count, classes), values)
