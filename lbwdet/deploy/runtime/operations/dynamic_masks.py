from dataclasses import replace
from itertools import pairwise
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime.arithmetic.boxes import sigmoid
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes

AT_ONCE = 1 << 22  # numbers of a layer in memory


@dataclass(frozen=True)
class DynamicMasks(Operation):
    """A mask of the image for each candidate, by a small network of its own: float32 [n, h, w, 1].

    ``kernels`` float32 [n, 1, 1, K] are the numbers of these networks, of 1 x 1 convolutions on the
    same ``features`` float32 [1, h, w, C]. The layers have ``channels`` outputs, the last one 1.
    The K numbers are their weights, layer after layer, each [outputs, inputs]; then, with ``bias``,
    their biases; then, with a ``reach`` above 0, what ``Picked`` adds with strides: x, y and stride
    of the candidate's place. With it two channels come before those of the features; at (row,
    column), in float32 as written, r = f32(reach)::

        (x - (column + offset) * step) / (stride * r),  (y - (row + offset) * step) / (stride * r)

    Every layer, in float32: products summed in the order of the inputs, from 0 on; plus the bias;
    but for the last, 0 where that is below 0. With ``probabilities`` the sigmoid of the last, as in
    ``Candidates``.
    """

    float32: ClassVar[str] = "predicted convolutions"

    kernels: Annotated[str, Reads(Kind.FLOAT)]
    features: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    channels: Annotated[tuple[int, ...], Range(1, 1 << 12), Length(1, 16)] = (1,)
    bias: bool = False
    reach: Annotated[float, Range(0, 1e4)] = 0.0
    step: Annotated[int, Range(1, 1 << 15)] = 1
    offset: Annotated[float, Range(-1, 1)] = 0.0
    probabilities: bool = False

    def infer(self, shapes: Shapes) -> Map:
        kernels, features = shapes.map(self.kernels), shapes.image_map(self.features)
        shapes.expect(kernels.size == (ONE, ONE), "kernels are not one pixel for each candidate")
        shapes.expect(self.channels[-1] == 1, f"{self.channels[-1]} outputs of the last layer")
        wanted = self._numbers(features.channels)
        shapes.expect(
            kernels.channels == wanted, f"{kernels.channels} numbers of a network of {wanted}"
        )
        return replace(features, channels=1, rows=kernels.rows, quantization=None)

    def _layers(self, features: int) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer."""
        return list(pairwise((features + 2 * (self.reach > 0), *self.channels)))

    def _numbers(self, features: int) -> int:
        """How many a network has."""
        weights = sum(inputs * outputs for inputs, outputs in self._layers(features))
        return weights + self.bias * sum(self.channels) + 3 * (self.reach > 0)

    def compute(self, run: Run) -> Array:
        kernels, features = run.values[self.kernels][:, 0, 0], run.values[self.features]
        _, height, width, count = features.shape
        planes = np.ascontiguousarray(features.reshape(-1, count).T)
        result = np.empty((len(kernels), height * width), np.float32)
        step = max(1, AT_ONCE // (max(self.channels) * height * width))
        for first in range(0, len(kernels), step):
            part = slice(first, first + step)
            result[part] = self._masks(kernels[part], planes, height, width)
        if self.probabilities:
            result = sigmoid(result)
        return result.reshape(-1, height, width, 1)

    def _masks(self, kernels: Array, planes: Array, height: int, width: int) -> Array:
        """[n, pixels]."""
        inputs = [plane[None] for plane in planes]
        if self.reach > 0:
            inputs = [*self._places(kernels[:, -3:], height, width), *inputs]
        layers = self._layers(len(planes))
        weight, bias = 0, sum(i * o for i, o in layers)
        for index, (count, outputs) in enumerate(layers):
            made = []
            for _ in range(outputs):
                total = np.zeros((len(kernels), height * width), np.float32)
                for i in range(count):
                    total += kernels[:, weight + i, None] * inputs[i]
                weight += count
                if self.bias:
                    total += kernels[:, bias, None]
                    bias += 1
                last = index == len(layers) - 1
                made.append(total if last else np.where(total < 0, np.float32(0), total))
            inputs = made
        return np.asarray(inputs[0])

    def _places(self, places: Array, height: int, width: int) -> list[Array]:
        """x and y of every pixel as the candidates see it: [n, pixels] each."""
        x, y, stride = places.T[..., None]
        row, column = np.mgrid[0:height, 0:width].astype(np.float32).reshape(2, 1, -1)
        step, offset, reach = (np.float32(v) for v in (self.step, self.offset, self.reach))
        return [
            (center - (line + offset) * step) / (stride * reach)
            for center, line in ((x, column), (y, row))
        ]

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        count = int(random.integers(0, 9))
        height, width, features = (int(side) for side in random.integers(1, 20, 3))
        layers = tuple(int(side) for side in random.integers(1, 5, random.integers(0, 3)))
        operation = cls(
            "kernels",
            "features",
            "y",
            channels=(*layers, 1),
            bias=bool(random.integers(2)),
            reach=float(random.choice([0.0, 8.0])),
            step=int(random.choice([4, 8])),
            offset=float(random.choice([0.0, 0.5])),
            probabilities=bool(random.integers(2)),
        )
        shape = (count, 1, 1, operation._numbers(features))
        kernels = random.normal(0, 1, shape).astype(np.float32)
        if operation.reach:
            kernels[..., -1] = random.choice([8, 16], (count, 1, 1))
        maps = random.normal(0, 1, (1, height, width, features)).astype(np.float32)
        return Example(operation, {"kernels": kernels, "features": maps})
