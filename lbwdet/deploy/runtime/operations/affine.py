from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes

PerChannel = Annotated[tuple[float, ...], Range(-(2.0**60), 2.0**60), Length(1, 1 << 16)]


@dataclass(frozen=True)
class Affine(Operation):
    """A factor and an offset per channel: batch norm by itself.

    With ``multiplier[c] = f32(s_x * gain[c] / s_y)`` and ``offset[c] = f32(bias[c] / s_y)``, both
    computed in float64 from the numbers of the program, in float32 as written::

        t = f32(x - zp_x) * multiplier[c] + offset[c]
        y = clamp(round(t) + zp_y, low, maximum)

    ``low`` is zp_y with ``relu``, else 0. For a float32 output s_y = 1 and y = t (with ``relu``:
    max(t, 0)). Where channels have steps of their own, s_x and s_y are those of channel c.
    """

    input: Annotated[str, Reads(Kind.UINT8, steps=True)]
    output: Annotated[str, Writes(Kind.MAP, steps=True)]
    gain: PerChannel
    bias: PerChannel
    relu: bool = False

    def infer(self, shapes: Shapes) -> Map:
        source = shapes.map(self.input)
        shapes.expect(
            len(self.gain) == len(self.bias) == source.channels,
            f"{len(self.gain)} gains and {len(self.bias)} biases for {source.channels} channels",
        )
        quantization = shapes.quantizations.get(self.output)
        largest = np.abs(self.gain) * 255 * shapes.quantized(self.input).steps
        written = 1.0 if quantization is None else quantization.steps
        shapes.expect_reach(float(((largest + np.abs(self.bias)) / written).max()))
        return replace(source, quantization=None)

    def compute(self, run: Run) -> Array:
        multiplier, offset = self._multiplier_and_offset(run)
        return run.store(self.output, run.centered(self.input) * multiplier + offset, self.relu)

    def constants(self, context: Context) -> dict[str, Constant]:
        multiplier, offset = self._multiplier_and_offset(context)
        return {"multiplier": multiplier, "offset": offset}

    def _multiplier_and_offset(self, context: Context) -> tuple[Array, Array]:
        s_x, s_y = context.steps(self.input), context.steps(self.output)
        multiplier = s_x * np.array(self.gain) / s_y
        return multiplier.astype(np.float32), (np.array(self.bias) / s_y).astype(np.float32)

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x, relu = random_cases.feature_map(random), bool(random.integers(2))
        gain, bias = random.normal(0, 1, (2, x.shape[-1])).tolist()
        quantizations = {"x": random_cases.quantization_of(random, x)}
        if random.random() < 0.8:
            quantizations["y"] = random_cases.output_quantization(random, positive=relu)
        for name in quantizations:
            if random.random() < 0.3:
                steps = random_cases.exponents(random, x.shape[-1])
                quantizations[name] = replace(quantizations[name], exponents=steps)
        return Example(cls("x", "y", tuple(gain), tuple(bias), relu), {"x": x}, quantizations)
