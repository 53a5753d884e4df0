from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import sigmoid
from lbwdet.deploy.runtime.arithmetic.spread import enlarged
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes

Maps = Annotated[tuple[str, ...], Reads(Kind.UINT8), Length(0, 64)]


@dataclass(frozen=True)
class SelectedMasks(Operation):
    """A mask of the image for each candidate: a channel of some map, float32 [n, h, w, 1].

    Of numbered candidates (see ``Candidates``), ``grids[l]`` squared belong to level l, in the
    order y, x of a grid; k is a candidate's number among them (a number of no level counts as the
    nearest one that there is). Its mask is channel k of ``inputs[l]`` uint8 [1, h, w, C]; with
    ``others``, channel ``k % grids[l]`` of that times channel ``k // grids[l]`` of ``others[l]``,
    in float32. Of every number the sigmoid counts, as in ``Candidates``, of the float32
    ``(x - zp_x) * s_x``. Each mask is resized to the size of ``inputs[0]``: with the places of
    ``Resize``, float32 shares f of the second neighbour, in float32, first along the width::

        first * (1 - f) + second * f
    """

    float32: ClassVar[str] = "probabilities of pixels"

    inputs: Annotated[tuple[str, ...], Reads(Kind.UINT8), Length(1, 64)]
    candidates: Annotated[str, Reads(Kind.CANDIDATES)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    grids: Annotated[tuple[int, ...], Range(1, 1 << 10)]
    others: Maps = ()

    def infer(self, shapes: Shapes) -> Map:
        shapes.per_level(self.inputs, self.grids, *([self.others] if self.others else []))
        for name, grid in zip((*self.inputs, *self.others), self.grids * 2, strict=False):
            channels, wanted = shapes.image_map(name).channels, grid if self.others else grid**2
            shapes.expect(channels == wanted, f"{channels} channels for a grid of {grid}")
        for one, other in zip(self.inputs, self.others, strict=False):
            shapes.expect(
                shapes.map(one).size == shapes.map(other).size, "inputs and others differ in size"
            )
        first = shapes.map(self.inputs[0])
        origin = shapes.origin(self.candidates)
        return replace(first, channels=1, rows=origin, quantization=None)

    def compute(self, run: Run) -> Array:
        number = run.values[self.candidates][:, 6].astype(np.int64)
        size = run.values[self.inputs[0]].shape[1:3]
        result = np.empty((len(number), *size, 1), np.float32)
        ends = np.cumsum(np.square(self.grids))
        number = np.clip(number, 0, ends[-1] - 1)
        for level, (grid, end) in enumerate(zip(self.grids, ends, strict=True)):
            begin = end - grid**2
            mine = np.flatnonzero((number >= begin) & (number < end))
            index = number[mine] - begin
            x = index % grid if self.others else index
            found = self._channels(run, self.inputs[level], x, size)
            if self.others:
                found = found * self._channels(run, self.others[level], index // grid, size)
            result[mine, :, :, 0] = found
        return result

    def _channels(self, run: Run, name: str, channels: Array, size: tuple[int, int]) -> Array:
        """[n, h, w]: probabilities of channels of a map, resized."""
        integers = run.values[name][0].transpose(2, 0, 1)[channels]
        if name in run.quantizations:
            return enlarged(self._table(run, name)[integers], size)
        return enlarged(sigmoid(integers), size)

    def _table(self, context: Context, name: str) -> Array:
        """float32 [256]: of each integer, its probability."""
        steps = np.arange(256, dtype=np.float32) - np.float32(context.zero_point(name))
        return sigmoid(steps * np.float32(context.scale(name)))

    def constants(self, context: Context) -> dict[str, Constant]:
        maps = (*self.inputs, *self.others)
        return {"scales": np.array([context.scale(name) for name in maps], np.float32)}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        grids = tuple(int(side) for side in random.integers(1, 5, random.integers(1, 4)))
        apart = bool(random.integers(2))
        values: dict[str, Array] = {}
        for level, grid in enumerate(grids):
            sides = [int(side) for side in random.integers(1, 20, 2)]
            for name in ("x", "y")[: 1 + apart]:
                shape = (1, *sides, grid if apart else grid**2)
                values[f"{name}{level}"] = random_cases.codes(random, shape)
        quantizations = {
            name: random_cases.quantization_of(random, x) for name, x in values.items()
        }
        # Not one: a single map could then be that candidate's as well as the image's.
        rows = random_cases.candidates(random, int(random.choice([0, 2, 5, 19])))
        rows[:, 6] = random.integers(0, sum(grid**2 for grid in grids) + 2, len(rows))
        names = [tuple(name for name in values if name[0] == axis) for axis in "xy"]
        operation = cls(names[0], "candidates", "out", grids, names[1])
        return Example(operation, {**values, "candidates": rows}, quantizations)
