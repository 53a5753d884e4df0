from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes
from lbwdet.errors import shown


@dataclass(frozen=True)
class Mean(Operation):
    """The mean of float32 maps of one size: ``((a + b) + c) / f32(count)``."""

    float32: ClassVar[str] = "means of scores"

    inputs: Annotated[tuple[str, ...], Reads(Kind.FLOAT), Length(2, 64)]
    output: Annotated[str, Writes(Kind.FLOAT)]

    def infer(self, shapes: Shapes) -> Map:
        first, *others = (shapes.map(name) for name in self.inputs)
        for name, other in zip(self.inputs[1:], others, strict=True):
            shapes.expect(
                (other.channels, other.size) == (first.channels, first.size)
                and shapes.origin(other.rows) == shapes.origin(first.rows),
                f"{shown(name)} has not the size of {shown(self.inputs[0])}",
            )
        return first

    def compute(self, run: Run) -> Array:
        first, *others = (run.values[name] for name in self.inputs)
        total = first
        for other in others:
            total = total + other
        return np.asarray(total / np.float32(len(self.inputs)))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        shape = random_cases.feature_map(random, max_side=9).shape
        names = tuple(f"x{index}" for index in range(int(random.integers(2, 5))))
        maps = {name: random.normal(0, 2, shape).astype(np.float32) for name in names}
        return Example(cls(names, "y"), maps)
