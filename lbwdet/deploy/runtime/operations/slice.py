from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes

Pair = tuple[int, int]


@dataclass(frozen=True)
class Slice(Operation):
    """Some rows, columns and channels of a map.

    Pixel (i, j) of the output is pixel ``(start[0] + i * step[0], start[1] + j * step[1])`` of
    the input, as far as the input goes; of its channels those from ``channels[0]`` on,
    ``channels[1]`` of them, or all that follow if that is 0.
    """

    input: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8, quantized_like="input")]
    start: Annotated[Pair, Range(0, 1 << 15)] = (0, 0)
    step: Annotated[Pair, Range(1, 128)] = (1, 1)
    channels: Annotated[Pair, Range(0, 1 << 20)] = (0, 0)

    def infer(self, shapes: Shapes) -> Map:
        source = shapes.map(self.input)
        first, count = self.channels
        count = count or source.channels - first
        shapes.expect(
            count > 0 and first + count <= source.channels,
            f"channels {first} to {first + count} of {source.channels}",
        )
        # The last pixel that is read starts a window of one: what is before start is cut off.
        window = tuple(
            (1 + start, step, 0) for start, step in zip(self.start, self.step, strict=True)
        )
        return replace(shapes.windowed(source, window), channels=count)

    def compute(self, run: Run) -> Array:
        (top, left), (step_y, step_x), (first, count) = self.start, self.step, self.channels
        last = first + count if count else None
        return np.ascontiguousarray(
            run.values[self.input][:, top::step_y, left::step_x, first:last]
        )

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x = random_cases.feature_map(random)
        height, width, channels = x.shape[1:]
        start = (int(random.integers(height)), int(random.integers(width)))
        step = (int(random.integers(1, 4)), int(random.integers(1, 4)))
        first = int(random.integers(channels))
        count = int(random.integers(0, channels - first + 1))
        quantization = random_cases.quantization_of(random, x)
        operation = cls("x", "y", start, step, (first, count))
        return Example(operation, {"x": x}, {"x": quantization, "y": quantization})
