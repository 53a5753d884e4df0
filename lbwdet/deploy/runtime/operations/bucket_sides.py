from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes
from lbwdet.errors import shown

LTRB = (0, 2, 1, 3)  # where left, top, right and bottom are among left, right, top and bottom
SIGNS = np.array([-1, 1, -1, 1], np.float32)  # of offsets, which grow to the right and downwards


@dataclass(frozen=True)
class BucketSides(Operation):
    """Where each side of a box is, by the best of its buckets: SABL's distances.

    Each anchor has four sides, in the order left, right, top, bottom, each n ``buckets``, counted
    from the outside to the middle. ``scores`` and ``offsets`` are float32 [1, h, w, A * 4 * n], or
    of regions [m, 1, 1, 4 * n]. Of the bucket k with the highest score of its side (ties: the
    lower)::

        distance = n_half - ((f32(k) + 0.5) - offset[k])        # of left and top
        distance = n_half - ((f32(k) + 0.5) + offset[k])        # of right and bottom

    in float32: from the middle of the anchor, in buckets; ``n_half`` is ``whole / 2``.

    Output: float32 [1 or m, h, w, A * 4], in the order left, top, right, bottom.
    """

    float32: ClassVar[str] = "distances from buckets"

    scores: Annotated[str, Reads(Kind.FLOAT)]
    offsets: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    buckets: Annotated[int, Range(1, 256)]
    whole: Annotated[int, Range(1, 512)]

    def infer(self, shapes: Shapes) -> Map:
        scores, offsets = shapes.map(self.scores), shapes.map(self.offsets)
        shapes.expect(
            scores == offsets, f"{shown(self.scores)} and {shown(self.offsets)} differ in size"
        )
        sides = check_sides(shapes, scores, self.buckets)
        return replace(scores, channels=sides, quantization=None)

    def compute(self, run: Run) -> Array:
        scores, offsets = run.values[self.scores], run.values[self.offsets]
        best = scores.reshape(-1, self.buckets).argmax(1)
        offset = offsets.reshape(-1, self.buckets)[np.arange(len(best)), best]
        towards_the_middle = (offset.reshape(-1, 4) * SIGNS).reshape(-1)
        place = (best.astype(np.float32) + np.float32(0.5)) + towards_the_middle
        distances = np.float32(self.whole / 2) - place
        in_order = distances.reshape(-1, 4)[:, LTRB]
        sides = scores.shape[3] // self.buckets
        return np.ascontiguousarray(in_order).reshape(*scores.shape[:3], sides)

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        buckets, shape = int(random.integers(1, 8)), tuple(random.integers(1, 6, 3).tolist())
        channels = 4 * buckets * int(random.integers(1, 3))
        values = {name: random_logits(random, (*shape, channels)) for name in ("s", "o")}
        return Example(cls("s", "o", "y", buckets, 2 * buckets), values)


def check_sides(shapes: Shapes, scores: Map, buckets: int) -> int:
    """The number of sides; four of each anchor are wanted."""
    sides = scores.channels // buckets
    shapes.expect(
        scores.channels == sides * buckets and sides % 4 == 0 and sides > 0,
        f"{scores.channels} scores are no {buckets} of four sides",
    )
    return sides


def random_logits(random: "np.random.Generator", shape: tuple[int, ...]) -> Array:
    """float32 whole halves, so that ties occur."""
    return np.asarray((np.rint(random.normal(0, 3, shape)) / 2).astype(np.float32))
