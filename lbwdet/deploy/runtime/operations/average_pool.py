from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.pooling import fits_ceil, more_pixels, windows
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Pair, Shapes


@dataclass(frozen=True)
class AveragePool(Operation):
    """Average over windows of a uint8 map.

    Output size ``(h + 2 * padding - kernel) // stride + 1``; with ``ceil`` the quotient is rounded
    up: the last window may reach beyond the map. With ``ratio = f32(s_x / s_y)``,
    computed in float64::

        sum = sum over the window's pixels in the map of x - zp_x    # whole numbers: exact
        t   = f32(sum) * (ratio / f32(count))                        # in float32, as written
        y   = clamp(round(t) + zp_y, 0, maximum)

    With ``count_padding``, pixels of the padding count as zeros: ``count`` is the number of the
    window's pixels in the map or in its padding; else of those in the map.
    """

    input: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8)]
    kernel: Annotated[Pair, Range(1, 128)]  # so that a sum is below 2**24
    stride: Annotated[Pair, Range(1, 128)]
    padding: Annotated[Pair, Range(0, 128)] = (0, 0)
    count_padding: bool = False
    ceil: bool = False

    def infer(self, shapes: Shapes) -> Map:
        shapes.expect_reach(shapes.ratio(self.input, self.output))
        return shapes.windowed(shapes.map(self.input), windows(self, shapes))

    def compute(self, run: Run) -> Array:
        x = run.centered(self.input)
        count = self._sums(np.ones((1, *x.shape[1:3], 1), np.float32), float(self.count_padding))
        return run.store(self.output, self._sums(x) * (run.ratio(self.input, self.output) / count))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratio": float(context.ratio(self.input, self.output))}

    def _sums(self, x: Array, padding: float = 0.0) -> Array:
        """The sum of every window, float32 as ``x`` is; zeros outside of it and its padding."""
        (kernel_y, kernel_x), (step_y, step_x) = self.kernel, self.stride
        pads = ((0, 0), *((pad, pad) for pad in self.padding), (0, 0))
        padded = np.pad(x, pads, constant_values=padding)
        more = more_pixels(self.stride, self.ceil)
        padded = np.pad(padded, ((0, 0), *((0, pixels) for pixels in more), (0, 0)))
        height = (padded.shape[1] - kernel_y) // step_y + 1
        width = (padded.shape[2] - kernel_x) // step_x + 1
        sums = np.zeros((x.shape[0], height, width, x.shape[3]), np.float32)
        for ky in range(kernel_y):
            for kx in range(kernel_x):
                rows = slice(ky, ky + (height - 1) * step_y + 1, step_y)
                columns = slice(kx, kx + (width - 1) * step_x + 1, step_x)
                sums += padded[:, rows, columns]
        return sums

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        kernel, padding, _, stride, x = random_cases.window(random, dilated=False)
        padding = (min(padding[0], kernel[0] - 1), min(padding[1], kernel[1] - 1))
        x = np.pad(x, ((0, 0), (0, kernel[0]), (0, kernel[1]), (0, 0)))  # at least one window
        quantizations = {
            "x": random_cases.quantization_of(random, x),
            "y": random_cases.output_quantization(random),
        }
        count_padding = bool(random.integers(2))
        ceil = fits_ceil(kernel, stride, padding) and bool(random.integers(2))
        operation = cls("x", "y", kernel, stride, padding, count_padding, ceil)
        return Example(operation, {"x": x}, quantizations)
