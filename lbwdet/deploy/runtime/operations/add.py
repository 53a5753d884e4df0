from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes


@dataclass(frozen=True)
class Add(Operation):
    """The sum of maps of one shape; those after the first may have one pixel for all.

    With ``ratio[i] = f32(s_i / s_y)``, computed in float64, in float32 as written::

        t = f32(x_0 - zp_0) * ratio[0]
        t = t + f32(x_i - zp_i) * ratio[i]        # for each further i, in order
        y = clamp(round(t) + zp_y, low, maximum)

    ``low`` is zp_y with ``relu``, else 0.
    """

    inputs: Annotated[tuple[str, ...], Reads(Kind.UINT8), Length(2, 64)]
    output: Annotated[str, Writes(Kind.UINT8)]
    relu: bool = False

    def infer(self, shapes: Shapes) -> Map:
        first, *others = (replace(shapes.map(name), quantization=None) for name in self.inputs)
        shapes.expect(
            all(other in (first, replace(first, height=ONE, width=ONE)) for other in others),
            "the maps that are added differ in size",
        )
        return first

    def compute(self, run: Run) -> Array:
        ratios = self._ratios(run)
        t = run.centered(self.inputs[0]) * ratios[0]
        for name, ratio in zip(self.inputs[1:], ratios[1:], strict=True):
            t = t + run.centered(name) * ratio
        return run.store(self.output, t, positive=self.relu)

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratios": self._ratios(context)}

    def _ratios(self, context: Context) -> Array:
        scales = np.array([context.scale(name) for name in self.inputs])
        return np.asarray((scales / context.scale(self.output)).astype(np.float32))

    @classmethod
    def example(cls, random: np.random.Generator) -> Example:
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
        return Example(cls(names, "y", relu), values, quantizations)
