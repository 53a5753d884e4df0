from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime.coders import Four
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Rows, Shapes


@dataclass(frozen=True)
class LearnedBoxes(Operation):
    """Boxes that are the same share of every image.

    Of each, the middle, the width and the height ``(x, y, w, h)`` as shares of the width W and the
    height H that boxes are clipped to; in float32, as written::

        x1 = (x - 0.5 * w) * W       x2 = (x + 0.5 * w) * W

    and y1, y2 alike, of y, h and H. They are not clipped.
    """

    float32: ClassVar[str] = "boxes"

    output: Annotated[str, Writes(Kind.BOXES)]
    boxes: Annotated[tuple[Four, ...], Range(-1e6, 1e6), Length(1, 1 << 16)]

    def infer(self, shapes: Shapes) -> Rows:
        return Rows(Kind.BOXES, count=len(self.boxes))

    def compute(self, run: Run) -> Array:
        places = self._places()
        middles, halves = places[:, :2], np.float32(0.5) * places[:, 2:]
        size = np.array(run.bounds[::-1], np.float32)
        return np.concatenate([(middles - halves) * size, (middles + halves) * size], 1)

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"places": self._places().reshape(-1)}

    def _places(self) -> Array:
        return np.array(self.boxes, np.float32)

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        places = random.uniform(-0.2, 1.2, (int(random.integers(1, 20)), 4)).tolist()
        operation = cls("y", tuple((x, y, w, h) for x, y, w, h in places))
        height, width = (int(side) for side in random.integers(1, 90, 2))
        return Example(operation, {}, image=np.zeros((height, width, 3), np.uint8))
