import math
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import sigmoid
from lbwdet.deploy.runtime.arithmetic.sine import sine, slowness
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class BoxEncoding(Operation):
    """Where queries are, and how large, as sines of many wave lengths (DAB-DETR, Liu et al., 2022).

    Each pixel of ``input`` has logits, the numbers of a point or a box. Of each, in the order of
    their numbers in ``order``, the output has ``channels``, in float64::

        place    = f32 sigmoid(input[o]) * f32(scale)
        angle[k] = place * slowness[k]                         # + pi / 2 of odd k
        real[k]  = f32(sin(angle[k]))

    with ``slowness[k] = f32(temperature ** (-2 * (k // 2) / channels))``, the ``sigmoid`` of
    :mod:`lbwdet.deploy.runtime.arithmetic.boxes`, and the ``sin`` of
    :mod:`lbwdet.deploy.runtime.arithmetic.sine`. With ``ratio = f32(1 / s_y)``, in float32::

        y = clamp(round(real * ratio) + zp_y, 0, maximum)
    """

    float32: ClassVar[str] = "sines of boxes"

    input: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.UINT8)]
    channels: Annotated[int, Range(1, 1 << 14)]
    order: Annotated[tuple[int, ...], Range(0, 15), Length(1, 16)]
    temperature: Annotated[float, Range(1, 1e9)] = 10000.0
    scale: Annotated[float, Range(0, 1e4)] = 2 * math.pi

    def infer(self, shapes: Shapes) -> Map:
        source = shapes.map(self.input)
        shapes.expect(
            max(self.order) < source.channels,
            f"there is no number {max(self.order)} among {source.channels}",
        )
        return replace(source, channels=self.channels * len(self.order), quantization=None)

    def compute(self, run: Run) -> Array:
        chosen = sigmoid(run.values[self.input])[..., list(self.order)]
        place = chosen.astype(np.float64) * np.float64(np.float32(self.scale))
        angle = place[..., None] * self.slowness().astype(np.float64)
        angle[..., 1::2] += math.pi / 2
        reals = sine(angle).astype(np.float32)
        reals = reals.reshape(*chosen.shape[:3], len(self.order) * self.channels)
        return run.store(self.output, reals * np.float32(1 / run.scale(self.output)))

    def slowness(self) -> Array:
        """float32 [channels]; see :func:`lbwdet.deploy.runtime.arithmetic.sine.slowness`."""
        return slowness(self.channels, self.temperature)

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"slowness": self.slowness(), "ratio": 1 / context.scale(self.output)}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        numbers, count = (int(number) for number in random.integers(1, 5, 2))
        sides = random_cases.feature_map(random, max_side=6).shape[:3]
        x = random.normal(0, 3, (*sides, numbers)).astype(np.float32)
        order = tuple(random.integers(0, numbers, count).tolist())
        operation = cls("x", "y", int(random.integers(1, 20)), order)
        return Example(operation, {"x": x}, {"y": random_cases.output_quantization(random)})
