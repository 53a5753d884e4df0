from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes


@dataclass(frozen=True)
class LineBuckets(Operation):
    """Numbers along the width and the height of regions, as those of the buckets of four sides.

    ``across`` float32 [n, 1, w, k] has w * k numbers of each region, from left to right, and
    ``down`` float32 [n, h, 1, k] as many, from top to bottom. Each side has a half of them (one
    more if they are odd), counted from the outside to the middle.

    Output: float32 [n, 1, 1, 4 * half], in the order left, right, top, bottom.
    """

    across: Annotated[str, Reads(Kind.FLOAT)]
    down: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.FLOAT)]

    def infer(self, shapes: Shapes) -> Map:
        across, down = shapes.map(self.across), shapes.map(self.down)
        shapes.expect(
            across.height == down.width == ONE
            and (across.width, across.channels, across.rows)
            == (down.height, down.channels, down.rows)
            and not across.width.factor,
            "numbers along the width and the height of regions do not fit together",
        )
        half = -(-across.width.smallest * across.channels // 2)
        return replace(across, channels=4 * half, height=ONE, width=ONE)

    def compute(self, run: Run) -> Array:
        n = len(run.values[self.across])
        parts = []
        for name in (self.across, self.down):
            _, height, width, channels = run.values[name].shape
            numbers = run.values[name].reshape(n, height * width * channels)
            half = -(-numbers.shape[1] // 2)
            parts += [numbers[:, :half], numbers[:, ::-1][:, :half]]
        return np.concatenate(parts, 1)[:, None, None]

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        n, length, count = (int(random.integers(1, most)) for most in (6, 8, 3))
        values = {
            name: random.normal(0, 1, (n, *sides, count)).astype(np.float32)
            for name, sides in (("x", (1, length)), ("y", (length, 1)))
        }
        return Example(cls("x", "y", "z"), values)
