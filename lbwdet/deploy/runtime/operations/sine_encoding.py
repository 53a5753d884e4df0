import math
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.sine import sine, slowness
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class SineEncoding(Operation):
    """Where a pixel is, as sines of many wave lengths (DETR, Carion et al., ECCV 2020).

    Of each pixel (y, x) of a map of the size of ``like``, the first ``channels`` numbers are those
    of y, the others those of x. Of a place p of a side of n pixels, in float64::

        place    = (p + 1 + offset) / (n + epsilon) * scale    # p + 1, where scale is 0
        angle[k] = place * slowness[k]                         # + pi / 2 of odd k
        real[k]  = f32(sin(angle[k]))

    with ``slowness[k] = f32(temperature ** (-2 * (k // 2) / channels))``, f32 of ``offset``,
    ``epsilon`` and ``scale``, and the ``sin`` of :mod:`lbwdet.deploy.runtime.arithmetic.sine`. With
    ``ratio = f32(1 / s_y)``, in float32::

        y = clamp(round(real * ratio) + zp_y, 0, maximum)
    """

    float32: ClassVar[str] = "sines of places"

    like: Annotated[str, Reads(Kind.MAP, steps=True)]
    output: Annotated[str, Writes(Kind.UINT8)]
    channels: Annotated[int, Range(1, 1 << 14)]
    temperature: Annotated[float, Range(1, 1e9)] = 10000.0
    scale: Annotated[float, Range(0, 1e4)] = 0.0
    offset: Annotated[float, Range(-1e3, 1e3)] = 0.0
    epsilon: Annotated[float, Range(0, 1)] = 1e-6

    def infer(self, shapes: Shapes) -> Map:
        like = shapes.map(self.like)
        return replace(like, channels=2 * self.channels, quantization=None)

    def compute(self, run: Run) -> Array:
        n, height, width, _ = run.values[self.like].shape
        y, x = self._of_side(height), self._of_side(width)
        reals = np.concatenate(
            [
                np.broadcast_to(y[:, None], (height, width, self.channels)),
                np.broadcast_to(x[None], (height, width, self.channels)),
            ],
            axis=-1,
        )
        ratio = np.float32(1 / run.scale(self.output))
        return run.store(self.output, np.broadcast_to(reals * ratio, (n, *reals.shape)))

    def _of_side(self, size: int) -> Array:
        """float32 [size, channels]."""
        offset, epsilon, scale = (
            np.float64(np.float32(number)) for number in (self.offset, self.epsilon, self.scale)
        )
        place = np.arange(1, size + 1, dtype=np.float64)
        if scale:
            place = (place + offset) / (size + epsilon) * scale
        angle = place[:, None] * self.slowness().astype(np.float64)
        angle[:, 1::2] += math.pi / 2
        return sine(angle).astype(np.float32)

    def slowness(self) -> Array:
        """float32 [channels]; see :func:`lbwdet.deploy.runtime.arithmetic.sine.slowness`."""
        return slowness(self.channels, self.temperature)

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"slowness": self.slowness(), "ratio": 1 / context.scale(self.output)}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        like = random_cases.feature_map(random)
        quantizations = {
            "like": random_cases.quantization_of(random, like),
            "y": random_cases.output_quantization(random),
        }
        scale = float(random.choice([0.0, 2 * math.pi, 20.0]))
        channels, offset = int(random.integers(1, 20)), float(random.choice([0.0, -0.5]))
        operation = cls("like", "y", channels, 10000.0, scale, offset)
        return Example(operation, {"like": like}, quantizations)
