from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class Concat(Operation):
    """Maps of one size, one after the other along the channels.

    With ``ratio[i] = f32(s_i / s_y)``, computed in float64, every input becomes, in float32::

        y = clamp(round(f32(x_i - zp_i) * ratio[i]) + zp_y, 0, maximum)

    which changes nothing of an input that has the output's quantization. Where channels have steps
    of their own, their exponents are those of the inputs, joined.
    """

    inputs: Annotated[tuple[str, ...], Reads(Kind.UINT8, steps=True), Length(1, 256)]
    output: Annotated[str, Writes(Kind.UINT8, steps=True)]

    def infer(self, shapes: Shapes) -> Map:
        maps = [replace(shapes.map(name), quantization=None) for name in self.inputs]
        shapes.expect(
            all(replace(other, channels=maps[0].channels) == maps[0] for other in maps),
            "the maps that are joined differ in size",
        )
        joined = tuple(e for name in self.inputs for e in shapes.exponents(name))
        shapes.expect(
            joined == shapes.exponents(self.output)
            and all(bool(shapes.exponents(name)) == bool(joined) for name in self.inputs),
            "the steps of the maps' channels are not those of the joined map",
        )
        shapes.expect_reach(max(shapes.ratio(name, self.output) for name in self.inputs))
        return replace(maps[0], channels=sum(value.channels for value in maps))

    def compute(self, run: Run) -> Array:
        ratios = run.ratios(self.inputs, self.output)
        return np.concatenate(
            [
                run.store(self.output, run.centered(name) * ratio)
                for name, ratio in zip(self.inputs, ratios, strict=True)
            ],
            -1,
        )

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratios": context.ratios(self.inputs, self.output)}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        first = random_cases.feature_map(random)
        names = tuple(f"x{index}" for index in range(int(random.integers(1, 5))))
        values = {
            name: random_cases.codes(random, (*first.shape[:3], int(random.integers(1, 40))))
            for name in names
        } | {"x0": first}
        quantizations = {
            name: random_cases.quantization_of(random, value) for name, value in values.items()
        }
        same = random.random() < 0.3
        quantizations["y"] = (
            quantizations["x0"] if same else random_cases.output_quantization(random)
        )
        if random.random() < 0.3:
            for name in names:
                steps = random_cases.exponents(random, values[name].shape[-1])
                quantizations[name] = replace(quantizations[name], exponents=steps)
            joined = tuple(e for name in names for e in quantizations[name].exponents)
            quantizations["y"] = replace(quantizations["y"], exponents=joined)
        return Example(cls(names, "y"), values, quantizations)
