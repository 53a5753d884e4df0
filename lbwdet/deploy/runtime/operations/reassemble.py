from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import exp
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes


@dataclass(frozen=True)
class Reassemble(Operation):
    """A larger map, each pixel of which is a mean of some pixels by weights of its own: CARAFE.

    The pixel (y * factor + i, x * factor + j) of the output is made of the ``kernel`` * ``kernel``
    pixels around (y, x). ``logits`` is float32 [n, h, w, groups * K * factor * factor] with
    ``K = kernel * kernel``; those of the taps k = ky * kernel + kx of such a pixel are, for each of
    the ``groups`` parts g of the input's channels, the channels
    ``((g * K + k) * factor + i) * factor + j`` of pixel (y, x). In float64, with the ``exp`` of
    :mod:`lbwdet.deploy.runtime.coders`::

        e[k] = exp(max(logit[k] - max(logit), -700))
        weight[k] = f32(e[k] / (e[0] + e[1] + ...))

    and with ``ratio = f32(s_x / s_y)``, by channel, in float32 as written::

        t = 0;  for each tap k that lies in the map:  t = t + f32(x[k] - zp_x) * weight[k]
        y = clamp(round(t * ratio) + zp_y, 0, maximum)

    Content-aware reassembly of features, arXiv 1905.02188.
    """

    float32: ClassVar[str] = "a softmax of neighbours, and sums with its weights"

    input: Annotated[str, Reads(Kind.UINT8)]
    logits: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.UINT8)]
    kernel: Annotated[int, Range(1, 31)]
    factor: Annotated[int, Range(1, 16)]
    groups: Annotated[int, Range(1, 1 << 10)] = 1

    @property
    def taps(self) -> int:
        """Of a kernel."""
        return self.kernel**2

    def infer(self, shapes: Shapes) -> Map:
        source, logits = shapes.map(self.input), shapes.map(self.logits)
        wanted = self.groups * self.taps * self.factor**2
        shapes.expect(self.kernel % 2 == 1, f"a kernel of {self.kernel} pixels has no middle")
        shapes.expect(
            source.channels % self.groups == 0,
            f"{source.channels} channels do not fall into {self.groups} groups",
        )
        shapes.expect(
            (logits.size, logits.rows, logits.channels) == (source.size, source.rows, wanted),
            f"there are not {wanted} logits for each pixel",
        )
        shapes.expect(
            source.height.divisor == source.width.divisor == 1,
            "the input's sides are rounded down, so that their multiples are not those of a map",
        )
        # Twice: weights sum up to one, but for their rounding.
        shapes.expect_reach(2 * shapes.ratio(self.input, self.output))
        return replace(
            source,
            height=source.height.times(self.factor),
            width=source.width.times(self.factor),
            quantization=None,
        )

    def compute(self, run: Run) -> Array:
        x, half, s = run.centered(self.input), self.kernel // 2, self.factor
        n, height, width, channels = x.shape
        rows = run.values[self.logits].reshape(n, height, width, self.groups, self.taps, s, s)
        rows = rows.astype(np.float64)
        powers = exp(np.maximum(rows - rows.max(4, keepdims=True), -700))
        # Sums one after the other, as cumsum adds them.
        weights = (powers / powers.cumsum(4)[:, :, :, :, -1:]).astype(np.float32)
        around = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
        total = np.zeros((n, height, width, s, s, channels), np.float32)
        for tap in range(self.taps):
            ky, kx = divmod(tap, self.kernel)
            pixels = around[:, ky : ky + height, kx : kx + width, None, None]
            weight = np.moveaxis(weights[:, :, :, :, tap], 3, -1)
            total = total + pixels * weight.repeat(channels // self.groups, -1)
        whole = total.transpose(0, 1, 3, 2, 4, 5).reshape(n, height * s, width * s, channels)
        return run.store(self.output, whole * run.ratio(self.input, self.output))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratio": float(context.ratio(self.input, self.output))}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        groups, factor = (int(count) for count in random.integers(1, 4, 2))
        kernel = int(random.choice([1, 3, 5]))
        x = random_cases.feature_map(random, max_side=9)[..., :1]
        channels = groups * int(random.integers(1, 20))
        x = random_cases.codes(random, (*x.shape[:3], channels))
        count = groups * kernel**2 * factor**2
        logits = random.normal(0, 3, (*x.shape[:3], count)).astype(np.float32)
        quantizations = {
            "x": random_cases.quantization_of(random, x),
            "y": random_cases.output_quantization(random),
        }
        operation = cls("x", "logits", "y", kernel, factor, groups)
        return Example(operation, {"x": x, "logits": logits}, quantizations)
