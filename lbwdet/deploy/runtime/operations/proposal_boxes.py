from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime.arithmetic.logarithm import log
from lbwdet.deploy.runtime.arithmetic.proposals import is_inner
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes

OUTSIDE = np.float32(100)  # its sigmoid is 1 in float32


@dataclass(frozen=True)
class ProposalBoxes(Operation):
    """Logits of the box that every pixel proposes: deltas of one around it, of a fixed size.

    With ``logit(p) = log(p / (1 - p))`` in float64, and the ``log`` of
    :mod:`lbwdet.deploy.runtime.arithmetic.logarithm`, of a pixel (y, x) of a map of h * w::

        y[0] = deltas[0] + f32(logit((x + 0.5) / w))
        y[1] = deltas[1] + f32(logit((y + 0.5) / h))
        y[2] = deltas[2] + f32(logit(f32(side)));  y[3] = deltas[3] + the same

    and 100 at the rim, see ``InnerPixels``: those propose nothing.
    """

    float32: ClassVar[str] = "logits of boxes"

    deltas: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    side: Annotated[float, Range(1e-6, 0.999999)]
    margin: Annotated[float, Range(0, 0.5)] = 0.01

    def infer(self, shapes: Shapes) -> Map:
        deltas = shapes.map(self.deltas)
        shapes.expect(deltas.channels == 4, f"{deltas.channels} numbers are no box")
        return deltas

    def compute(self, run: Run) -> Array:
        deltas = run.values[self.deltas]
        _, height, width, _ = deltas.shape
        start = np.empty((height, width, 4), np.float32)
        start[..., 0] = _logit((np.arange(width) + 0.5) / width)
        start[..., 1] = _logit((np.arange(height) + 0.5) / height)[:, None]
        start[..., 2:] = _logit(np.array(self.side, np.float32).astype(np.float64))
        inner = is_inner(height, width, self.margin)[..., None]
        return np.where(inner, deltas + start, OUTSIDE)

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        shape = (int(random.integers(1, 3)), *random.integers(1, 30, 2), 4)
        deltas = random.normal(0, 2, shape).astype(np.float32)
        side, margin = (float(random.choice(each)) for each in ([0.05, 0.4], [0.01, 0.07]))
        return Example(cls("deltas", "y", side, margin), {"deltas": deltas})


def _logit(p: Array) -> Array:
    return np.asarray(log(p / (1 - p)).astype(np.float32))
