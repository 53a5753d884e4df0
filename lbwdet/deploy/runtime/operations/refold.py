import math
from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes, Side


@dataclass(frozen=True)
class Refold(Operation):
    """A float32 map's first numbers as a map of another size: what DyHead reads of its offsets.

    Offsets of a finer level are read there as if they had the size of the coarser one's map. The
    channels of the input fall into ``parts``, each of some channels in order. Of a part with C
    channels, all numbers in the order channel, row, column are ``v``; with the height h and the
    width w of ``like``, which is no larger::

        y[row, column, c] = v[(c * h + row) * w + column]        # c < C, counted in the part
    """

    input: Annotated[str, Reads(Kind.FLOAT)]
    like: Annotated[str, Reads(Kind.MAP)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    parts: Annotated[tuple[int, ...], Range(1, 1 << 16), Length(1, 16)]

    def infer(self, shapes: Shapes) -> Map:
        source, like = shapes.map(self.input), shapes.map(self.like)
        shapes.expect(
            sum(self.parts) == source.channels,
            f"parts of {list(self.parts)} channels are not the {source.channels} of the map",
        )
        shapes.expect(
            shapes.origin(source.rows) == shapes.origin(like.rows)
            and all(_is_no_larger(*sides) for sides in zip(like.size, source.size, strict=True)),
            "the map whose size it takes is larger than its own",
        )
        return replace(like, channels=source.channels, quantization=None)

    def compute(self, run: Run) -> Array:
        x, size = run.values[self.input], run.values[self.like].shape[1:3]
        n, *sides, _ = x.shape
        found, first = [], 0
        for count in self.parts:
            planes = x[..., first : first + count].transpose(0, 3, 1, 2)
            numbers = planes.reshape(n, count * math.prod(sides))[:, : count * math.prod(size)]
            found.append(numbers.reshape(n, count, *size).transpose(0, 2, 3, 1))
            first += count
        return np.concatenate(found, -1)

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        n, height, width = (int(count) for count in random.integers(1, 9, 3))
        parts = tuple(int(count) for count in random.integers(1, 6, int(random.integers(1, 4))))
        less = (int(random.integers(1, side + 1)) for side in (height, width))
        values = {
            "x": random.normal(0, 1, (n, height, width, sum(parts))).astype(np.float32),
            "like": random.normal(0, 1, (n, *less, 3)).astype(np.float32),
        }
        return Example(cls("x", "like", "y", parts), values)


def _is_no_larger(one: Side, other: Side) -> bool:
    """For every image: a side is ``(factor * m + offset) // divisor`` pixels."""
    return one.smallest <= other.smallest and one.factor * other.divisor <= (
        other.factor * one.divisor
    )
