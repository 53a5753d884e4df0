from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class L2Norm(Operation):
    """Each pixel's channels divided by their length, then a factor per channel: SSD's first map.

    With ``gain[c] = f32(weight[c] / s_y)`` and ``offset = eps / s_x``, both in float64, S the
    integer sum of ``(x_c - zp_x)**2`` over the channels of a pixel::

        inverse = f32(1 / (sqrt(S) + offset))                 # in float64
        y       = clamp(round(f32(x_c - zp_x) * (gain[c] * inverse)) + zp_y, 0, maximum)

    the products in float32 as written.
    """

    float32: ClassVar[str] = "norms: roots of sums of squares"

    input: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8)]
    weight: Annotated[tuple[float, ...], Range(-(2.0**60), 2.0**60), Length(1, 1 << 16)]
    eps: Annotated[float, Range(1e-30, 1e6)] = 1e-10

    def infer(self, shapes: Shapes) -> Map:
        source = shapes.map(self.input)
        shapes.expect(
            len(self.weight) == source.channels,
            f"{len(self.weight)} weights for {source.channels} channels",
        )
        # Of a pixel of zeros, the inverse is that of the offset alone.
        inverse = max(1.0, shapes.quantized(self.input).scale / self.eps)
        gain = max(map(abs, self.weight)) / shapes.quantized(self.output).scale
        shapes.expect_reach(255 * max(1.0, gain) * inverse)
        return replace(source, quantization=None)

    def compute(self, run: Run) -> Array:
        x = run.centered(self.input)
        squares = (x.astype(np.float64) ** 2).sum(-1, keepdims=True)
        inverse = (1 / (np.sqrt(squares) + self._offset(run))).astype(np.float32)
        return run.store(self.output, x * (self._gain(run) * inverse))

    def constants(self, context: Context) -> dict[str, Constant]:
        # As bits: a field has no float64.
        offset = np.array([self._offset(context)], np.float64).view(np.int32)
        return {"gain": self._gain(context), "offset": offset}

    def _gain(self, context: Context) -> Array:
        return (np.array(self.weight) / context.scale(self.output)).astype(np.float32)

    def _offset(self, context: Context) -> float:
        return float(self.eps / np.float64(context.scale(self.input)))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x = random_cases.feature_map(random)
        weight = tuple(random.normal(0, 20, (x.shape[-1],)).tolist())
        quantizations = {
            "x": random_cases.quantization_of(random, x),
            "y": random_cases.output_quantization(random),
        }
        operation = cls("x", "y", weight, float(random.choice([1e-10, 0.5])))
        return Example(operation, {"x": x}, quantizations)
