from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class PointBoxes(Operation):
    """The box around some points at every pixel: distances to its sides.

    ``input`` is float32 [1, h, w, 2 * K]: of each of K points its place down, then to the right.
    Along each axis (p[k] the places), of the first ``points`` points::

        first, last = min p[k], max p[k]

    or, with ``spread``, in float32 as written, sums in the order of the points, K all of them::

        mean = (p[0] + p[1] + ...) / K
        square = (p[0] - mean)**2 + (p[1] - mean)**2 + ...
        half = sqrt(square / (K - 1)) * spread[axis]         # axis 0: to the right, 1: down
        first, last = mean - half, mean + half

    Output: float32 [1, h, w, 4]: ``0 - first`` of axis 0, then of axis 1, ``last + 0`` of axis 0,
    then of axis 1: left, top, right, bottom, and no zero has a sign. RepPoints (arXiv 1904.11490).
    """

    float32: ClassVar[str] = "boxes around points"

    input: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    points: Annotated[int, Range(1, 1024)]
    spread: Annotated[tuple[float, ...], Range(0, 1e6), Length(0, 2)] = ()

    def infer(self, shapes: Shapes) -> Map:
        source = shapes.image_map(self.input)
        shapes.expect(
            source.channels % 2 == 0 and self.points <= source.channels // 2,
            f"{source.channels} places are no {self.points} points",
        )
        shapes.expect(
            not self.spread or (len(self.spread) == 2 and 2 * self.points == source.channels > 2),
            "spread is not that of all points, and there are two at least, along both axes",
        )
        return replace(source, channels=4, quantization=None)

    def compute(self, run: Run) -> Array:
        x = run.values[self.input]
        sides = []
        for axis in (0, 1):
            places = x[..., 1 - axis :: 2][..., : self.points]
            sides.append(self._spread(places, axis) if self.spread else _outermost(places))
        (left, right), (top, bottom) = sides
        zero = np.float32(0)
        return np.stack([zero - left, zero - top, right + zero, bottom + zero], -1)

    def _spread(self, places: Array, axis: int) -> tuple[Array, Array]:
        total = places[..., 0]
        for point in range(1, self.points):
            total = total + places[..., point]
        mean = total / np.float32(self.points)
        square = (places[..., 0] - mean) * (places[..., 0] - mean)
        for point in range(1, self.points):
            square = square + (places[..., point] - mean) * (places[..., point] - mean)
        half = np.sqrt(square / np.float32(self.points - 1)) * np.float32(self.spread[axis])
        return mean - half, mean + half

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        count = int(random.integers(2, 26))
        shape = (1, *random.integers(1, 9, 2).tolist(), 2 * count)
        values = {"x": random.normal(0, 3, shape).astype(np.float32)}
        if random.integers(2):
            return Example(cls("x", "y", count, (0.75, 1.5)), values)
        return Example(cls("x", "y", int(random.integers(1, count + 1))), values)


def _outermost(places: Array) -> tuple[Array, Array]:
    return places.min(-1), places.max(-1)
