from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class Coordinates(Operation):
    """Where a pixel is, from -1 to 1 (Liu et al., CoordConv, NeurIPS 2018): two channels, x and y.

    Of a map of the size of ``like``. The pixel p of a side of n pixels, in float64 as written, and
    with ``ratio = f32(1 / s_y)`` in float32::

        real = f32(p * 2 / (n - 1) - 1)          # -1, if n = 1
        y    = clamp(round(real * ratio) + zp_y, 0, maximum)
    """

    float32: ClassVar[str] = "places of pixels"

    like: Annotated[str, Reads(Kind.MAP, steps=True)]
    output: Annotated[str, Writes(Kind.UINT8)]

    def infer(self, shapes: Shapes) -> Map:
        return replace(shapes.map(self.like), channels=2, quantization=None)

    def compute(self, run: Run) -> Array:
        n, height, width, _ = run.values[self.like].shape
        reals = np.empty((n, height, width, 2), np.float32)
        reals[..., 0], reals[..., 1] = _of_side(width), _of_side(height)[:, None]
        return run.store(self.output, reals * np.float32(1 / run.scale(self.output)))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratio": 1 / context.scale(self.output)}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        like = random_cases.feature_map(random)
        quantizations = {
            "like": random_cases.quantization_of(random, like),
            "y": random_cases.output_quantization(random),
        }
        return Example(cls("like", "y"), {"like": like}, quantizations)


def _of_side(size: int) -> Array:
    """float32 [size]."""
    return (np.arange(size) * 2.0 / max(size - 1, 1) - 1).astype(np.float32)
