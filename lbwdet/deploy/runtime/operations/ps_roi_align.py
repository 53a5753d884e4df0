from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.roi_axis import axis_weights, cells
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes


@dataclass(frozen=True)
class PSRoIAlign(Operation):
    """Votes of boxes' cells, each cell read from a map of its own (R-FCN, arXiv 1605.06409).

    ``input`` float32 [1, h, w, D * size**2] and boxes to float32 [n, 1, 1, D]. The map is
    float32 because a vote is a final score or delta: rounding it would gain nothing but memory.
    Cell (by, bx) of output d reads channel ``(d * size + by) * size + bx``, with the weights
    ``wx``, ``wy`` that ``RoIAlign`` has for a level of this ``stride``::

        line[row]    = sum over columns of wx[bx][column] * value   # ascending, from 0
        cell[by][bx] = sum over rows of wy[by][row] * line[row]     # ascending, from 0
        y            = (sum over by, then bx, of cell) * f32(1 / size**2)   # from 0
    """

    float32: ClassVar[str] = "bilinear sampling and votes"

    input: Annotated[str, Reads(Kind.FLOAT)]
    boxes: Annotated[str, Reads(Kind.BOXES)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    stride: Annotated[int, Range(1, 1 << 15)]
    size: Annotated[int, Range(1, 1024)]
    sampling_ratio: Annotated[int, Range(0, 64)]

    def infer(self, shapes: Shapes) -> Map:
        source = shapes.image_map(self.input)
        outputs, rest = divmod(source.channels, self.size**2)
        shapes.expect(
            rest == 0,
            f"{source.channels} channels are not the same number for each of {self.size}x"
            f"{self.size} cells",
        )
        return Map(outputs, ONE, ONE, rows=self.boxes)

    def compute(self, run: Run) -> Array:
        scores, boxes, size = run.values[self.input], run.values[self.boxes], self.size
        _, height, width, channels = scores.shape
        features = scores[0].reshape(height, width, -1, size, size)
        votes = np.zeros((len(boxes), 1, 1, channels // size**2), np.float32)
        for vote, (x1, y1, x2, y2) in zip(votes, boxes, strict=True):
            weights_y = axis_weights(y1, y2, self.stride, size, self.sampling_ratio, height)
            weights_x = axis_weights(x1, x2, self.stride, size, self.sampling_ratio, width)
            pooled = cells(features, weights_y, weights_x)
            for row, column in np.ndindex(size, size):  # numpy's own sum has another order
                vote[0, 0] += pooled[:, row, column]
        return votes * np.float32(1 / size**2)

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"scale": 1 / self.stride}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        height, width, size, outputs = (
            int(n) for n in random.integers((4, 4, 1, 1), (20, 20, 5, 9))
        )
        shape = (1, height, width, outputs * size**2)
        values = {
            "x": random.normal(0, 1, shape).astype(np.float32),
            "boxes": random_cases.boxes(
                random, int(random.integers(0, 9)), 16 * height, 16 * width
            ),
        }
        return Example(cls("x", "boxes", "y", 16, size, int(random.integers(0, 3))), values)
