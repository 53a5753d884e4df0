from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import exp
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes


@dataclass(frozen=True)
class SoftmaxPool(Operation):
    """The mean of a map's pixels, weighted by a softmax over all of them: global context.

    ``logits`` is float32, of the map's size, with one channel. In float64, with the ``exp`` of
    :mod:`lbwdet.deploy.runtime.coders`, and pixels p in the order y, x::

        e[p] = exp(max(logits[p] - max(logits), -700))
        weight[p] = f32(e[p] / (e[0] + e[1] + ...))

    and with ``ratio = f32(s_x / s_y)``, by channel, in float32 as written::

        t = 0;  for each pixel p:  t = t + f32(x[p] - zp_x) * weight[p]
        y = clamp(round(t * ratio) + zp_y, 0, maximum)
    """

    float32: ClassVar[str] = "attention: a softmax of pixels, and sums with its weights"

    input: Annotated[str, Reads(Kind.UINT8)]
    logits: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.UINT8)]

    def infer(self, shapes: Shapes) -> Map:
        source, logits = shapes.map(self.input), shapes.map(self.logits)
        shapes.expect(
            replace(logits, channels=source.channels, quantization=source.quantization) == source
            and logits.channels == 1,
            "there is not one logit for each pixel",
        )
        shapes.expect_reach(2 * shapes.ratio(self.input, self.output))
        return replace(source, height=ONE, width=ONE, quantization=None)

    def compute(self, run: Run) -> Array:
        x, logits = run.centered(self.input), run.values[self.logits]
        n, height, width, channels = x.shape
        rows = logits.reshape(n, height * width).astype(np.float64)
        powers = exp(np.maximum(rows - rows.max(1, keepdims=True), -700))
        # Sums one after the other, as cumsum adds them.
        weights = (powers / powers.cumsum(1)[:, -1:]).astype(np.float32)
        terms = x.reshape(n, height * width, channels) * weights[:, :, None]
        t = terms.cumsum(1, dtype=np.float32)[:, -1].reshape(n, 1, 1, channels)
        return run.store(self.output, t * run.ratio(self.input, self.output))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratio": float(context.ratio(self.input, self.output))}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x = random_cases.feature_map(random)
        logits = random.normal(0, 3, (*x.shape[:3], 1)).astype(np.float32)
        quantizations = {
            "x": random_cases.quantization_of(random, x),
            "y": random_cases.output_quantization(random),
        }
        return Example(cls("x", "logits", "y"), {"x": x, "logits": logits}, quantizations)
