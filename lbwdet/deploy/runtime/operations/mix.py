from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime.arithmetic.boxes import exp
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes

LEAST, LARGEST = -700.0, 40.0  # exponents; see the coders
Row = Annotated[tuple[float, ...], Length(1, 4096), Range(-(2.0**60), 2.0**60)]


@dataclass(frozen=True)
class Mix(Operation):
    """Sums of float32 channels, pixel by pixel: offsets made of what a head predicts.

    ``x[0], x[1], ...`` are the channels of all inputs, one map after the other, with ``limits``
    ``min(max(x[i], -limits[i]), limits[i])`` of each; those with their number in ``exponential``
    are ``f32(exp(min(max(x, -700), 40)))`` instead, with the ``exp`` of
    :mod:`lbwdet.deploy.runtime.coders`. Channel o of the output is, in float32 as written::

        t = bias[o]
        t = t + x[i] * factors[o][i]        # for each i with factors[o][i] != 0, in order
    """

    float32: ClassVar[str] = "sums of predictions"

    inputs: Annotated[tuple[str, ...], Reads(Kind.FLOAT), Length(1, 64)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    factors: Annotated[tuple[Row, ...], Length(1, 4096)]
    bias: Row
    exponential: Annotated[tuple[int, ...], Range(0, 4095), Length(0, 4096)] = ()
    limits: Annotated[tuple[float, ...], Range(0, 2.0**60), Length(0, 4096)] = ()

    def infer(self, shapes: Shapes) -> Map:
        first, *others = (shapes.image_map(name) for name in self.inputs)
        shapes.expect(
            all(other.size == first.size for other in others),
            "the maps that are mixed differ in size",
        )
        channels = sum(shapes.map(name).channels for name in self.inputs)
        shapes.expect(
            all(len(row) == channels for row in self.factors)
            and len(self.bias) == len(self.factors)
            and all(index < channels for index in self.exponential),
            f"{len(self.factors)} rows of factors, {len(self.bias)} biases and exponentials of "
            f"{list(self.exponential)} for {channels} channels",
        )
        shapes.expect(
            len(self.limits) in (0, channels),
            f"{len(self.limits)} limits of {channels} channels",
        )
        return replace(first, channels=len(self.factors), quantization=None)

    def compute(self, run: Run) -> Array:
        x = np.concatenate([run.values[name] for name in self.inputs], -1)
        if self.limits:
            limits = np.array(self.limits, np.float32)
            x = np.minimum(np.maximum(x, -limits), limits)
        chosen = list(self.exponential)
        x[..., chosen] = exp(np.clip(x[..., chosen], LEAST, LARGEST)).astype(np.float32)
        channels = []
        for row, bias in zip(np.array(self.factors, np.float32), self.bias, strict=True):
            t = np.full(x.shape[:3], bias, np.float32)
            for index in np.flatnonzero(row):
                t = t + x[..., index] * row[index]
            channels.append(t)
        return np.stack(channels, -1)

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"factors": np.array(self.factors, np.float32).reshape(-1)}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        size, names = random.integers(1, 9, 2), ("a", "b", "c")[: int(random.integers(1, 4))]
        values = {
            name: random.normal(0, 2, (1, *size, int(random.integers(1, 7)))).astype(np.float32)
            for name in names
        }
        channels, outputs = sum(x.shape[3] for x in values.values()), int(random.integers(1, 20))
        factors = np.rint(random.normal(0, 2, (outputs, channels))) / 4
        bias = random.normal(0, 1, outputs)
        exponential = tuple(np.flatnonzero(random.random(channels) < 0.3).tolist())
        rows = tuple(map(tuple, factors.tolist()))
        limits = tuple(random.uniform(0, 3, channels).tolist()) if random.integers(2) else ()
        return Example(cls(names, "y", rows, tuple(bias.tolist()), exponential, limits), values)
