from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime.arithmetic.boxes import exp
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes

LARGEST = np.float32(40)  # exponent; see the coders


@dataclass(frozen=True)
class NextDeltas(Operation):
    """Deltas of boxes that were moved by others before, as deltas of the boxes at the beginning.

    Both inputs and the output are float32 [1, h, w, 4]: dx, dy, dw, dh. With ``a`` of the first,
    ``b`` of the second and the ``exp`` of :mod:`lbwdet.deploy.runtime.coders`, in float32 as
    written, for i = 0 and 1::

        stretch  = min(max(a[i + 2], least), 40)
        y[i]     = a[i] + f32(exp(stretch)) * b[i]
        y[i + 2] = stretch + b[i + 2]
    """

    float32: ClassVar[str] = "boxes"

    first: Annotated[str, Reads(Kind.FLOAT)]
    second: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    least: Annotated[float, Range(-80, 0)] = -80.0

    def infer(self, shapes: Shapes) -> Map:
        first, second = shapes.image_map(self.first), shapes.image_map(self.second)
        shapes.expect(first == second and first.channels == 4, "these are not four deltas twice")
        return replace(first, quantization=None)

    def compute(self, run: Run) -> Array:
        first, second = run.values[self.first], run.values[self.second]
        stretch = np.clip(first[..., 2:], np.float32(self.least), LARGEST)
        shift = first[..., :2] + exp(stretch).astype(np.float32) * second[..., :2]
        return np.concatenate([shift, stretch + second[..., 2:]], -1)

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        shape = (1, *random.integers(1, 12, 2), 4)
        maps = {name: random.normal(0, 2, shape).astype(np.float32) for name in ("a", "b")}
        if random.random() < 0.3:
            maps["a"][random.random(shape) < 0.2] = -1e4
        return Example(cls("a", "b", "y", float(random.choice([-80.0, -1.0]))), maps)
