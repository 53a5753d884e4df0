from collections.abc import Mapping
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, LayerNumbers, Run
from lbwdet.deploy.runtime.declaration import Kind, Layer, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.quantization import rounded
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes, Side
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.errors import shown


@dataclass(frozen=True)
class Embedding(Operation):
    """A map that is the same for every image: what a network has learned for each pixel.

    ``layer`` names a weight of the shape [pixels, channels, 1, 1], whose pixels come in the order
    y, x; with ``in_two``, of [2 * pixels, channels, 1, 1]: a number is the sum of one of the first
    half and one of the second, of a smaller scale, since 8 bits alone are too coarse for what
    training has in float. With f32 of ``factors * weight_scale[p] * gain[p] + bias[p]`` in float64,
    or of the sum of two such terms, as the reals, and f32 of these by the output's scale in
    float64::

        y = clamp(round(f32(real / s_y)) + zp_y, 0, maximum)

    With ``boxes``, of which every image has as many, the pixels are theirs: [n, 1, 1, channels].
    """

    layer: Annotated[str, Layer()]
    output: Annotated[str, Writes(Kind.UINT8)]
    height: Annotated[int, Range(1, 1 << 15)]
    width: Annotated[int, Range(1, 1 << 15)]
    in_two: bool = False
    boxes: Annotated[str, Reads(Kind.BOXES)] | None = None

    def infer(self, shapes: Shapes) -> Map:
        pixels, channels, *kernel = shapes.weights[self.layer].codes.shape
        shapes.expect(
            (pixels, *kernel) == (self.height * self.width * (1 + self.in_two), 1, 1),
            f"a weight of {pixels} pixels and a kernel of {tuple(kernel)} is no map of "
            f"{self.height} x {self.width}{', in two terms' if self.in_two else ''}",
        )
        if self.boxes is None:
            return Map(channels, Side(0, self.height), Side(0, self.width))
        shapes.expect(
            shapes.count(self.boxes) == self.height * self.width,
            f"{shown(self.boxes)} are not {self.height * self.width} boxes in every image",
        )
        return Map(channels, ONE, ONE, rows=shapes.origin(self.boxes))

    def compute(self, run: Run) -> Array:
        stored = self._stored(run)
        size = (1, self.height, self.width) if self.boxes is None else (len(stored), 1, 1)
        return stored.reshape(*size, -1)

    def constants(self, context: Context) -> dict[str, Constant]:
        stored = self._stored(context)
        return {"channels": stored.shape[1], "bytes": stored}

    def packed_bytes(self, weights: Mapping[str, StoredWeight]) -> int:
        """Four float64 of each number while they are computed, and what is stored."""
        return 32 * weights[self.layer].codes.size

    def reals(self, layer: LayerNumbers) -> Array:
        """float32 [pixels, channels]."""
        factors = layer.plain_factors.reshape(len(layer.factors), -1).astype(np.float64)
        gain, bias = (x.astype(np.float64)[:, None] for x in (layer.gain, layer.bias))
        terms = factors * layer.scale[:, None] * gain + bias
        if self.in_two:
            first, second = np.split(terms, 2)
            terms = first + second
        return terms.astype(np.float32)

    def _stored(self, context: Context) -> Array:
        """[pixels, channels]: uint8, or float32 in reals."""
        reals = self.reals(context.layers[self.layer])
        quantization = context.quantizations.get(self.output)
        if quantization is None:
            return reals
        return rounded((reals / np.float64(quantization.scale)).astype(np.float32), quantization)

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        height, width, channels = (int(count) for count in random.integers(1, 9, 3))
        in_two = bool(random.integers(2))
        weight = random_cases.weight(random, (height * width * (1 + in_two), channels, 1, 1))
        quantizations = {"y": random_cases.output_quantization(random)}
        if random.integers(2):
            operation = cls("layer", "y", height, width, in_two)
            return Example(operation, {}, quantizations, {"layer": weight})
        values = {"boxes": random_cases.boxes(random, height * width, 60, 90)}
        operation = cls("layer", "y", height, width, in_two, boxes="boxes")
        return Example(operation, values, quantizations, {"layer": weight})
