from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import softmax
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class SoftmaxOfParts(Operation):
    """A softmax over parts of the channels of a float32 map: split attention.

    The input's channels are ``groups`` times ``parts`` times k, the output's ``parts`` times
    ``groups`` times k. The numbers of the parts are a softmax of as many, as ``Candidates`` has it;
    of each, with ``ratio = f32(1 / s_y)``, in float32::

        y = clamp(round(share * ratio) + zp_y, 0, maximum)
    """

    float32: ClassVar[str] = "a softmax over parts"

    input: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.UINT8)]
    groups: Annotated[int, Range(1, 1 << 12)]
    parts: Annotated[int, Range(1, 64)]

    def infer(self, shapes: Shapes) -> Map:
        source = shapes.map(self.input)
        shapes.expect(
            source.channels % (self.groups * self.parts) == 0,
            f"{source.channels} channels are no {self.groups} groups of {self.parts} parts",
        )
        return replace(source, quantization=None)

    def compute(self, run: Run) -> Array:
        x = run.values[self.input]
        each = x.shape[3] // (self.groups * self.parts)
        apart = x.reshape(*x.shape[:3], self.groups, self.parts, each)
        rows = np.moveaxis(apart, -2, -1)
        shares = softmax(rows.reshape(-1, self.parts)).reshape(rows.shape)
        together = np.moveaxis(shares, -1, -3).reshape(x.shape)  # parts, groups, k
        return run.store(self.output, together * np.float32(self._ratio(run)))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratio": self._ratio(context)}

    def _ratio(self, context: Context) -> float:
        return float(np.float32(1 / context.scale(self.output)))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        groups, parts, rest = (int(number) for number in random.integers(1, 5, 3))
        sides = random_cases.feature_map(random, max_side=3).shape[:3]
        x = random.normal(0, 3, (*sides, groups * parts * rest)).astype(np.float32)
        operation = cls("x", "y", groups, parts)
        return Example(operation, {"x": x}, {"y": random_cases.output_quantization(random, True)})
