import math
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.operations.affine import PerChannel
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes

LEAST_EPSILON = 2.0**-126  # of which float32 drops no digits


@dataclass(frozen=True)
class GroupNorm(Operation):
    """Groups of neighbouring channels, each with a mean of 0 and a variance of 1, per image.

    Then a factor and an offset per channel. With ``per_pixel``, every pixel is taken as an image of
    its own: the layer norm of tokens. Of the ``count`` numbers of a group in an image::

        s1 = sum of x - zp_x        s2 = sum of (x - zp_x)**2        # whole numbers of 64 bits

    in float64 as written, with ``e = f32(epsilon / s_x**2)``::

        mean = s1 / count;  variance = max(s2 / count - mean * mean, 0)
        root = sqrt(variance + e)

    for each of its channels, with f32 of ``gain[c]``, ``bias[c]`` and ``s_y`` in float64::

        factor = gain / root
        multiplier = f32(factor / s_y);  offset = f32((bias - mean * factor) / s_y)

    and in float32 as written::

        t = f32(x - zp_x) * multiplier[c] + offset[c]
        y = clamp(round(t) + zp_y, low, maximum)

    ``low`` is zp_y with ``relu``, else 0. For a float32 output s_y = 1 and y = t (with ``relu``:
    max(t, 0)).
    """

    float32: ClassVar[str] = "norms: variances and their roots"

    input: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.MAP)]
    groups: Annotated[int, Range(1, 1 << 16)]
    gain: PerChannel
    bias: PerChannel
    epsilon: Annotated[float, Range(1e-12, 1.0)]
    relu: bool = False
    per_pixel: bool = False

    def infer(self, shapes: Shapes) -> Map:
        source = shapes.map(self.input)
        shapes.expect(
            len(self.gain) == len(self.bias) == source.channels,
            f"{len(self.gain)} gains and {len(self.bias)} biases for {source.channels} channels",
        )
        shapes.expect(
            source.channels % self.groups == 0,
            f"{source.channels} channels are no {self.groups} groups",
        )
        epsilon = self.epsilon / shapes.quantized(self.input).scale ** 2
        shapes.expect(
            LEAST_EPSILON <= epsilon <= 1 / LEAST_EPSILON,
            f"epsilon is {epsilon:.3g} of the input's steps squared; allowed is "
            f"{LEAST_EPSILON:.3g} to {1 / LEAST_EPSILON:.3g}",
        )
        # x - zp_x and the mean are up to 255, and no root is below that of epsilon.
        largest = 2 * 255 * max(map(abs, self.gain)) / math.sqrt(epsilon)
        quantization = shapes.quantizations.get(self.output)
        written = 1.0 if quantization is None else quantization.scale
        shapes.expect_reach((largest + max(map(abs, self.bias))) / written)
        return replace(source, quantization=None)

    def compute(self, run: Run) -> Array:
        whole = run.centered(self.input)
        x = whole.reshape(-1, 1, 1, whole.shape[-1]) if self.per_pixel else whole
        n, height, width, channels = x.shape
        shape = (n, height * width, self.groups, channels // self.groups)
        grouped = x.reshape(shape).astype(np.float64)
        count = grouped.shape[1] * grouped.shape[3]
        mean = grouped.sum((1, 3), keepdims=True) / count
        variance = np.maximum(
            np.square(grouped).sum((1, 3), keepdims=True) / count - mean * mean, 0
        )
        root = np.sqrt(variance + self._epsilon(run))
        gain, bias = (
            np.array(numbers, np.float32).astype(np.float64).reshape(1, 1, self.groups, -1)
            for numbers in (self.gain, self.bias)
        )
        factor, scale = gain / root, np.float64(np.float32(run.scale(self.output)))
        multiplier, offset = (
            numbers.astype(np.float32).reshape(n, 1, 1, channels)
            for numbers in (factor / scale, (bias - mean * factor) / scale)
        )
        normal = (x * multiplier + offset).reshape(whole.shape)
        return run.store(self.output, normal, self.relu)

    def constants(self, context: Context) -> dict[str, Constant]:
        return {
            "scaled_epsilon": float(self._epsilon(context)),
            "scale": context.scale(self.output),
        }

    def _epsilon(self, context: Context) -> np.float64:
        return np.float64(np.float32(self.epsilon / context.scale(self.input) ** 2))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x, relu = random_cases.feature_map(random, max_channels=10), bool(random.integers(2))
        groups = int(random.integers(1, 5))
        x = np.repeat(x, groups, -1)
        gain, bias = random.normal(0, 1, (2, x.shape[-1])).tolist()
        quantizations = {"x": random_cases.quantization_of(random, x)}
        if random.random() < 0.8:
            quantizations["y"] = random_cases.output_quantization(random, positive=relu)
        epsilon = float(random.choice([1e-5, 0.5]))
        operation = cls(
            "x", "y", groups, tuple(gain), tuple(bias), epsilon, relu, bool(random.integers(2))
        )
        return Example(operation, {"x": x}, quantizations)
