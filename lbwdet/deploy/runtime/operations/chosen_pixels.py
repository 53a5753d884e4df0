from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class ChosenPixels(Operation):
    """Some pixels of float32 maps, by their numbers.

    The pixels of all ``inputs`` are numbered map after map, in the order y, x. Each pixel of
    ``numbers`` becomes that with its number; zeros, if there is none with it.
    """

    inputs: Annotated[tuple[str, ...], Reads(Kind.FLOAT), Length(1, 16)]
    numbers: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.FLOAT)]

    def infer(self, shapes: Shapes) -> Map:
        numbers = shapes.image_map(self.numbers)
        channels = {shapes.image_map(name).channels for name in self.inputs}
        shapes.expect(
            len(channels) == 1 and numbers.channels == 1,
            "the maps differ in channels, or there are several numbers per pixel",
        )
        return Map(channels.pop(), numbers.height, numbers.width)

    def compute(self, run: Run) -> Array:
        maps = [run.values[name] for name in self.inputs]
        pixels = np.concatenate([x.reshape(-1, x.shape[3]) for x in maps])
        numbers = run.values[self.numbers][..., 0]
        known = (numbers >= 0) & (numbers < len(pixels))
        chosen = pixels[np.where(known, numbers, 0).astype(np.int64)]
        return np.where(known[..., None], chosen, np.float32(0))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        names, channels = ("a", "b", "c")[: int(random.integers(1, 4))], int(random.integers(1, 6))
        values = {
            name: random.normal(0, 4, (1, *random.integers(1, 9, 2), channels)).astype(np.float32)
            for name in names
        }
        count = sum(x.shape[1] * x.shape[2] for x in values.values())
        numbers = random.integers(-1, count + 1, (1, 1, int(random.integers(1, 40)), 1))
        return Example(cls(names, "numbers", "y"), values | {"numbers": numbers.astype(np.float32)})
