from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes
from lbwdet.errors import shown

MAX_DEPTH = 1 << 14  # channels: sums of so many products fit 32 bits


@dataclass(frozen=True)
class QueryMasks(Operation):
    """How much each pixel belongs to each query: float32 [1, h, w, q], logits.

    ``kernels`` uint8 [1, y, x, c] has a pixel for each of q queries, in the order y, x; there are
    as many in every image. With ``features`` uint8 [1, h, w, c], for query k::

        acc[k] = sum over i of (kernel[k][i] - zp_k) * (feature[i] - zp_f)    # a whole number
        y[k] = f32(acc[k]) * f32(s_k * s_f)

    the factor computed in float64, the product in float32.
    """

    float32: ClassVar[str] = "logits of pixels"

    kernels: Annotated[str, Reads(Kind.UINT8)]
    features: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.FLOAT)]

    def infer(self, shapes: Shapes) -> Map:
        kernels, features = shapes.image_map(self.kernels), shapes.image_map(self.features)
        shapes.expect(
            not any(side.factor for side in kernels.size),
            f"{shown(self.kernels)} has not as many queries in every image",
        )
        shapes.expect(
            kernels.channels == features.channels <= MAX_DEPTH,
            f"kernels of {kernels.channels} channels for features of {features.channels}; allowed "
            f"are as many, {MAX_DEPTH} at most",
        )
        scales = shapes.quantized(self.kernels).scale * shapes.quantized(self.features).scale
        shapes.expect_reach(scales * 2.0**31)
        queries = kernels.height.smallest * kernels.width.smallest
        return Map(queries, features.height, features.width)

    def compute(self, run: Run) -> Array:
        kernels, features = (
            run.centered(name).astype(np.float64) for name in (self.kernels, self.features)
        )
        n, height, width, channels = kernels.shape
        columns = kernels.reshape(n, 1, height * width, channels).swapaxes(2, 3)
        # Of whole numbers, products and sums are exact in float64.
        found = features @ columns
        return np.asarray(found.astype(np.float32) * np.float32(self._factor(run)))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"factor": self._factor(context)}

    def _factor(self, context: Context) -> float:
        scales = context.scale(self.kernels) * context.scale(self.features)
        return float(np.float32(scales))

    @classmethod
    def example(cls, random: np.random.Generator) -> Example:
        channels = int(random.integers(1, 70))
        values = {
            name: random_cases.codes(random, (1, *random.integers(1, 12, 2).tolist(), channels))
            for name in ("kernels", "features")
        }
        quantizations = {
            name: random_cases.quantization_of(random, x) for name, x in values.items()
        }
        return Example(cls("kernels", "features", "y"), values, quantizations)
