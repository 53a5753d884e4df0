from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes, Side

_ONE = 2048  # weights are multiples of 1 / 2048


@dataclass(frozen=True)
class Resize(Operation):
    """A map in another size, by bilinear interpolation.

    The output's height and width are those of ``like``, or ``size``, unless that is 0, or else
    ``factor`` times the input's, then divided by ``divisor`` and rounded down. Along an axis of
    ``h_x`` pixels that becomes one of ``h``, the place of pixel i is, in float64 as written::

        max((i + 0.5) * (h_x / h) - 0.5, 0)         # or, with align_corners,
        i * ((h_x - 1) / (h - 1)), and 0 if h = 1   # or, if aligned,
        max(i - factor // 2, 0) / factor

    It lies between the pixels ``j`` = floor(place) and ``min(j + 1, h_x - 1)``, of which the second
    has the weight ``a = rint((place - j) * 2048)``, the first ``2048 - a``. In integers, along the
    width first::

        r = x[j] * (2048 - a) + x[j + 1] * a
        y = (r[i] * (2048 - b) + r[i + 1] * b + 2**21) >> 22

    Input and output have the same quantization.
    """

    input: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8, quantized_like="input")]
    factor: Annotated[tuple[int, int], Range(1, 64)] = (1, 1)
    divisor: Annotated[tuple[int, int], Range(1, 64)] = (1, 1)
    like: Annotated[str, Reads(Kind.MAP)] | None = None
    align_corners: bool = False
    size: Annotated[tuple[int, int], Range(0, 1 << 15)] = (0, 0)
    aligned: bool = False

    def infer(self, shapes: Shapes) -> Map:
        source = replace(shapes.map(self.input), quantization=None)
        given, plain = (self.like is not None) + any(self.size), self.factor == self.divisor
        shapes.expect(
            given == 0 or (given == 1 and plain and self.factor == (1, 1)),
            "it has a size, a factor, or another map's size, of which one is wanted",
        )
        shapes.expect(
            not self.aligned or (given == 0 and self.divisor == (1, 1) and not self.align_corners),
            "aligned, but not by a whole factor alone",
        )
        if self.like is not None:
            like = shapes.map(self.like)
            return replace(source, height=like.height, width=like.width)
        if any(self.size):
            shapes.expect(all(self.size), f"a size of {self.size}")
            return replace(source, height=Side(0, self.size[0]), width=Side(0, self.size[1]))
        shapes.expect(
            self.factor == (1, 1) or source.height.divisor == source.width.divisor == 1,
            "the input's sides are rounded down, so that their multiples are not those of a map; "
            "give the map whose size it takes",
        )
        larger = [
            side if factor == 1 else side.times(factor)
            for side, factor in zip(source.size, self.factor, strict=True)
        ]
        larger_map = replace(source, height=larger[0], width=larger[1])
        return shapes.windowed(larger_map, tuple((d, d, 0) for d in self.divisor))

    def compute(self, run: Run) -> Array:
        x = run.values[self.input]
        if self.like is not None:
            height, width = run.values[self.like].shape[1:3]
        elif any(self.size):
            height, width = self.size
        else:
            height, width = (
                side * factor // divisor
                for side, factor, divisor in zip(
                    x.shape[1:3], self.factor, self.divisor, strict=True
                )
            )
        whole = x.dtype == np.uint8
        top, bottom, down = self._taps(0, x.shape[1], height, whole)
        left, right, across = self._taps(1, x.shape[2], width, whole)
        one = _ONE if whole else np.float32(1)
        across, down = across[:, None], down[:, None, None]
        wide = x.astype(np.int32) if whole else x
        lines = wide[:, :, left] * (one - across) + wide[:, :, right] * across
        total = lines[:, top] * (one - down) + lines[:, bottom] * down
        return ((total + (1 << 21)) >> 22).astype(np.uint8) if whole else np.asarray(total)

    def _taps(self, axis: int, source: int, target: int, whole: bool) -> tuple[Array, Array, Array]:
        """Indices of the two neighbours of each target index, and the second one's weight."""
        index = np.arange(target)
        place: Array
        if self.aligned:
            place = np.maximum(index - self.factor[axis] // 2, 0) / self.factor[axis]
        elif self.align_corners:
            place = index * ((source - 1) / max(target - 1, 1))
        else:
            place = np.maximum((index + 0.5) * (source / target) - 0.5, 0)
        first = np.minimum(np.floor(place).astype(np.int64), source - 1)
        share = place - first
        weight = np.rint(share * _ONE).astype(np.int32) if whole else share.astype(np.float32)
        return first, np.minimum(first + 1, source - 1), weight

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x = random_cases.feature_map(random)
        quantization = random_cases.quantization_of(random, x)
        values, quantizations = {"x": x}, {"x": quantization, "y": quantization}
        align = bool(random.integers(2))
        if random.random() < 0.2:
            size = (int(random.integers(1, 30)), int(random.integers(1, 30)))
            return Example(cls("x", "y", align_corners=align, size=size), values, quantizations)
        if random.integers(2):
            factor, divisor = (
                (int(random.integers(1, 5)), int(random.integers(1, 5))) for _ in range(2)
            )
            if random.random() < 0.3:
                return Example(cls("x", "y", factor, aligned=True), values, quantizations)
            divisor = (
                min(divisor[0], factor[0] * x.shape[1]),
                min(divisor[1], factor[1] * x.shape[2]),
            )
            return Example(
                cls("x", "y", factor, divisor, align_corners=align), values, quantizations
            )
        values["like"] = random_cases.feature_map(random, count=x.shape[0])
        quantizations["like"] = random_cases.quantization_of(random, values["like"])
        return Example(cls("x", "y", like="like", align_corners=align), values, quantizations)
