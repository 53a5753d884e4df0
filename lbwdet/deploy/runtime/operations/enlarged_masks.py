from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime.arithmetic.boxes import sigmoid
from lbwdet.deploy.runtime.arithmetic.spread import aligned
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class EnlargedMasks(Operation):
    """Probabilities of masks, ``factor`` times as high and wide as their logits, in float32.

    Bilinear interpolation of float32 [n, h, w, 1] with the places of an aligned ``Resize``, and
    float32 shares f of the second neighbour, first along the width: ``first * (1 - f) + second *
    f``. Then the sigmoid, as in ``Candidates``.
    """

    float32: ClassVar[str] = "probabilities of pixels"

    input: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    factor: Annotated[int, Range(1, 64)]

    def infer(self, shapes: Shapes) -> Map:
        masks = shapes.map(self.input)
        shapes.expect(masks.channels == 1, f"{masks.channels} channels of a mask")
        height, width = (
            side if self.factor == 1 else side.times(self.factor) for side in masks.size
        )
        return replace(masks, height=height, width=width, quantization=None)

    def compute(self, run: Run) -> Array:
        return sigmoid(aligned(run.values[self.input][..., 0], self.factor))[..., None]

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        count, height, width = (int(number) for number in random.integers(1, 12, 3))
        logits = random.normal(0, 3, (count, height, width, 1)).astype(np.float32)
        return Example(cls("x", "y", int(random.choice([1, 2, 4, 5]))), {"x": logits})
