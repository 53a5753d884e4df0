from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes


@dataclass(frozen=True)
class Add(Operation):
    """The sum of maps of one shape; those after the first may have one pixel for all.

    With ``ratio[i] = f32(s_i / s_y)``, computed in float64, in float32 as written::

        t = f32(x_0 - zp_0) * ratio[0]
        t = t + f32(x_i - zp_i) * ratio[i]        # for each further i, in order
        y = clamp(round(t) + zp_y, low, maximum)

    ``low`` is zp_y with ``relu``, else 0. Where channels have steps of their own, their exponents
    are the same in all maps.
    """

    inputs: Annotated[tuple[str, ...], Reads(Kind.UINT8, steps=True), Length(2, 64)]
    output: Annotated[str, Writes(Kind.UINT8, steps=True)]
    relu: bool = False

    def infer(self, shapes: Shapes) -> Map:
        first, *others = (replace(shapes.map(name), quantization=None) for name in self.inputs)
        shapes.expect(
            all(other in (first, replace(first, height=ONE, width=ONE)) for other in others),
            "the maps that are added differ in size",
        )
        shapes.expect(
            all(shapes.exponents(n) == shapes.exponents(self.output) for n in self.inputs),
            "the steps of the maps' channels differ from those of the sum",
        )
        shapes.expect_reach(sum(shapes.ratio(name, self.output) for name in self.inputs))
        return first

    def compute(self, run: Run) -> Array:
        ratios = run.ratios(self.inputs, self.output)
        t = run.centered(self.inputs[0]) * ratios[0]
        for name, ratio in zip(self.inputs[1:], ratios[1:], strict=True):
            t = t + run.centered(name) * ratio
        return run.store(self.output, t, positive=self.relu)

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratios": context.ratios(self.inputs, self.output)}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        first = random_cases.feature_map(random)
        names = tuple(f"x{index}" for index in range(int(random.integers(2, 5))))
        values = {name: random_cases.codes(random, first.shape) for name in names} | {"x0": first}
        quantizations = {
            name: random_cases.quantization_of(random, value) for name, value in values.items()
        }
        for name in names[1:]:
            if random.random() < 0.2:
                values[name] = values[name][:, :1, :1]
        relu = bool(random.integers(2))
        quantizations["y"] = random_cases.output_quantization(random, positive=relu)
        if random.random() < 0.3:
            steps = random_cases.exponents(random, first.shape[-1])
            quantizations = {n: replace(q, exponents=steps) for n, q in quantizations.items()}
        return Example(cls(names, "y", relu), values, quantizations)
