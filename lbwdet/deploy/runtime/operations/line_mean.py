from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import sigmoid
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes


@dataclass(frozen=True)
class LineMean(Operation):
    """The mean of every column's pixels, or of every row's, with weights that a network gives.

    ``logits`` float32 [n, h, w, 1]; of the pixels j of a line, in order, with the sigmoid of
    ``Candidates``, in float32 as written::

        weight[j] = sigmoid(logit[j]);  total = 0;  total = total + weight[j]
        t = 0;  t = t + f32(x[j] - zp_x) * (weight[j] / total)
        y = clamp(round(t * f32(s_x / s_y)) + zp_y, 0, maximum)

    Output: uint8 [n, 1, w, c] of ``columns``, [n, h, 1, c] of ``rows``.
    """

    float32: ClassVar[str] = "sums with a sigmoid's weights"

    input: Annotated[str, Reads(Kind.UINT8)]
    logits: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.UINT8)]
    lines: Literal["columns", "rows"]

    def infer(self, shapes: Shapes) -> Map:
        source, logits = shapes.map(self.input), shapes.map(self.logits)
        shapes.expect(
            (logits.size, logits.rows, logits.channels) == (source.size, source.rows, 1),
            "there is not a weight for each pixel",
        )
        shapes.expect_reach(shapes.ratio(self.input, self.output))
        plain = replace(source, quantization=None)
        return replace(plain, height=ONE) if self.lines == "columns" else replace(plain, width=ONE)

    def compute(self, run: Run) -> Array:
        x, weights = run.centered(self.input), sigmoid(run.values[self.logits])
        axis = 1 if self.lines == "columns" else 2
        lines = [weights.take([j], axis) for j in range(weights.shape[axis])]
        total = np.zeros_like(lines[0])
        for weight in lines:
            total = total + weight
        mean = np.zeros((*total.shape[:3], x.shape[3]), np.float32)
        for j, weight in enumerate(lines):
            mean = mean + x.take([j], axis) * (weight / total)
        return run.store(self.output, mean * run.ratio(self.input, self.output))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratio": float(context.ratio(self.input, self.output))}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        x = random_cases.feature_map(random, max_side=9)
        logits = random.normal(0, 2, (*x.shape[:3], 1)).astype(np.float32)
        quantizations = {
            "x": random_cases.quantization_of(random, x),
            "y": random_cases.output_quantization(random),
        }
        operation = cls("x", "logits", "y", ("columns", "rows")[int(random.integers(2))])
        return Example(operation, {"x": x, "logits": logits}, quantizations)
