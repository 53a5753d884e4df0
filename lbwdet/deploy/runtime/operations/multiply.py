from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes

_MAX_REAL = 2.0**80


@dataclass(frozen=True)
class Multiply(Operation):
    """A map times a gate: another map, which may have one pixel, or one channel, for all.

    With ``ratio = f32(s_x * s_g / s_y)``, computed in float64, in float32 as written::

        t = f32(x - zp_x) * (f32(g - zp_g) * ratio)
        y = clamp(round(t) + zp_y, 0, maximum)
    """

    input: Annotated[str, Reads(Kind.UINT8)]
    gate: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8)]

    def infer(self, shapes: Shapes) -> Map:
        source, gate = shapes.map(self.input), shapes.map(self.gate)
        shapes.expect(
            gate.size in (source.size, (ONE, ONE))
            and gate.channels in (source.channels, 1)
            and gate.rows == source.rows,
            "the gate has neither the size of the map nor one pixel, or other channels",
        )
        scales = [shapes.quantized(name).scale for name in (self.input, self.gate, self.output)]
        shapes.expect(
            255 * 255 * scales[0] * scales[1] / scales[2] < _MAX_REAL,
            "the scales of inputs and output are too far apart",
        )
        return replace(source, quantization=None)

    def compute(self, run: Run) -> Array:
        factor = run.centered(self.gate) * np.float32(self._ratio(run))
        return run.store(self.output, run.centered(self.input) * factor)

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratio": self._ratio(context)}

    def _ratio(self, context: Context) -> float:
        scales = context.scale(self.input) * context.scale(self.gate)
        return float(np.float32(scales / context.scale(self.output)))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x = random_cases.feature_map(random)
        n, height, width, channels = x.shape
        sides = (1, 1) if random.integers(2) else (height, width)
        gate = random_cases.codes(random, (n, *sides, channels if random.integers(2) else 1))
        quantizations = {
            "x": random_cases.quantization_of(random, x),
            "gate": random_cases.quantization_of(random, gate),
            "y": random_cases.output_quantization(random),
        }
        return Example(cls("x", "gate", "y"), {"x": x, "gate": gate}, quantizations)
