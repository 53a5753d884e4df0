from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime.arithmetic.boxes import softmax
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.operations.bucket_sides import check_sides, random_logits
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class BucketConfidence(Operation):
    """How sure the sides of a box are of their buckets: SABL's factor of scores.

    ``scores`` are those of :class:`BucketSides`. Of each side the softmax over its ``buckets``, as
    in ``Candidates``; p the share of the bucket with the highest score and q of the one with the
    second highest (ties: the lower)::

        sure       = p + q if the two are neighbours, else p
        confidence = (((sure_0 + sure_1) + sure_2) + sure_3) * 0.25

    in float32. Output: float32 [1, h, w, A], or of regions [m, 1, 1, 1].
    """

    float32: ClassVar[str] = "a softmax over buckets"

    scores: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    buckets: Annotated[int, Range(2, 256)]

    def infer(self, shapes: Shapes) -> Map:
        scores = shapes.map(self.scores)
        return replace(
            scores, channels=check_sides(shapes, scores, self.buckets) // 4, quantization=None
        )

    def compute(self, run: Run) -> Array:
        scores = run.values[self.scores]
        rows = scores.reshape(-1, self.buckets)
        every, shares = np.arange(len(rows)), softmax(rows)
        best = rows.argmax(1)
        others = rows.copy()
        others[every, best] = -np.inf
        second = others.argmax(1)
        near = np.abs(best - second) == 1
        sure = shares[every, best]
        sure = np.where(near, sure + shares[every, second], sure).reshape(-1, 4)
        total = ((sure[:, 0] + sure[:, 1]) + sure[:, 2]) + sure[:, 3]
        anchors = scores.shape[3] // (4 * self.buckets)
        return np.asarray((total * np.float32(0.25)).reshape(*scores.shape[:3], anchors))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        buckets, shape = int(random.integers(2, 8)), tuple(random.integers(1, 6, 3).tolist())
        channels = 4 * buckets * int(random.integers(1, 3))
        return Example(cls("s", "y", buckets), {"s": random_logits(random, (*shape, channels))})
