from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.functions import tanh
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes


@dataclass(frozen=True)
class Picked(Operation):
    """What maps say at the places of candidates: float32 [n, 1, 1, C].

    ``inputs`` are float32 maps [1, h, w, ``anchors`` * C], one for each level of numbered
    candidates (see ``Candidates``); each of these gets the C numbers of its own anchor. A number
    that no anchor has counts as the nearest one that there is. With ``tanh``,
    ``f32(2 / (1 + exp(-2x)) - 1)`` of them, in float64 as in ``Lookup``. With ``strides``, one for
    each level, three numbers more follow: where the anchor is, and the stride, in float32::

        (column + offset) * stride,  (row + offset) * stride,  stride
    """

    float32: ClassVar[str] = "numbers at places"

    inputs: Annotated[tuple[str, ...], Reads(Kind.FLOAT), Length(1, 64)]
    candidates: Annotated[str, Reads(Kind.CANDIDATES)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    anchors: Annotated[int, Range(1, 1000)] = 1
    tanh: bool = False
    strides: Annotated[tuple[int, ...], Range(1, 1 << 15)] = ()
    offset: Annotated[float, Range(-1, 1)] = 0.0

    def infer(self, shapes: Shapes) -> Map:
        if self.strides:
            shapes.per_level(self.inputs, self.strides)
        channels = {shapes.image_map(name).channels for name in self.inputs}
        shapes.expect(
            len(channels) == 1 and min(channels) % self.anchors == 0,
            f"maps of {sorted(channels)} channels for {self.anchors} anchors",
        )
        count = min(channels) // self.anchors + 3 * bool(self.strides)
        return Map(count, ONE, ONE, shapes.origin(self.candidates))

    def compute(self, run: Run) -> Array:
        maps = [run.values[name] for name in self.inputs]
        number = run.values[self.candidates][:, 6].astype(np.int64)
        channels = maps[0].shape[3] // self.anchors
        table = np.concatenate([each.reshape(-1, channels) for each in maps])
        number = np.clip(number, 0, len(table) - 1)
        found = table[number]
        if self.tanh:
            found = tanh(found.astype(np.float64)).astype(np.float32)
        if self.strides:
            levels = zip(maps, self.strides, strict=True)
            places = [self._places(each.shape, stride) for each, stride in levels]
            found = np.concatenate([found, np.concatenate(places)[number]], 1)
        return np.ascontiguousarray(found[:, None, None])

    def _places(self, shape: tuple[int, ...], stride: int) -> Array:
        """float32 [anchors of a level, 3], of a map of this shape."""
        y, x = np.mgrid[0 : shape[1], 0 : shape[2]].astype(np.float32)
        step, offset = np.float32(stride), np.float32(self.offset)
        places = [(x + offset) * step, (y + offset) * step, np.full_like(x, step)]
        return np.stack(places, -1).reshape(-1, 3).repeat(self.anchors, 0)

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        levels, anchors, channels = (int(count) for count in random.integers(1, 4, 3))
        values: dict[str, Array] = {}
        for level in range(levels):
            sides = (int(side) for side in random.integers(1, 9, 2))
            shape = (1, *sides, anchors * channels)
            values[f"x{level}"] = random.normal(0, 2, shape).astype(np.float32)
        total = sum(x.size for x in values.values()) // channels
        # Not one: a single map could then be that candidate's as well as the image's.
        rows = random_cases.candidates(random, int(random.choice([0, 2, 5, 19])))
        rows[:, 6] = random.integers(0, total + 2, len(rows))
        strides = tuple(8 << level for level in range(levels)) if random.integers(2) else ()
        operation = cls(
            tuple(values),
            "candidates",
            "y",
            anchors=anchors,
            tanh=bool(random.integers(2)),
            strides=strides,
            offset=float(random.choice([0.0, 0.5])),
        )
        return Example(operation, {**values, "candidates": rows})
