from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.pooling import fits_ceil, more_pixels, windows
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Pair, Shapes


@dataclass(frozen=True)
class MaxPool(Operation):
    """Maximum over windows of a uint8 map; outside of the map nothing counts.

    Output size ``(h + 2 * padding - kernel) // stride + 1``; with ``ceil`` the quotient is rounded
    up: the last window may reach beyond the map. Input and output have the same quantization.
    ``kernel=(1, 1), stride=(2, 2)`` is plain subsampling.
    """

    input: Annotated[str, Reads(Kind.UINT8, steps=True)]
    output: Annotated[str, Writes(Kind.UINT8, quantized_like="input", steps=True)]
    kernel: Annotated[Pair, Range(1, 128)]
    stride: Annotated[Pair, Range(1, 128)]
    padding: Annotated[Pair, Range(0, 128)] = (0, 0)
    ceil: bool = False

    def infer(self, shapes: Shapes) -> Map:
        return shapes.windowed(shapes.map(self.input), windows(self, shapes))

    def compute(self, run: Run) -> Array:
        x = run.values[self.input]
        (kernel_y, kernel_x), (step_y, step_x) = self.kernel, self.stride
        pad_y, pad_x = self.padding
        least = 0 if x.dtype == np.uint8 else -np.inf  # never wins over a pixel of the map
        more_y, more_x = more_pixels(self.stride, self.ceil)
        pads = ((0, 0), (pad_y, pad_y + more_y), (pad_x, pad_x + more_x), (0, 0))
        padded = np.pad(x, pads, constant_values=least)
        height = (padded.shape[1] - kernel_y) // step_y + 1
        width = (padded.shape[2] - kernel_x) // step_x + 1
        best = np.full((x.shape[0], height, width, x.shape[3]), least, x.dtype)
        for ky in range(kernel_y):
            for kx in range(kernel_x):
                rows = slice(ky, ky + (height - 1) * step_y + 1, step_y)
                columns = slice(kx, kx + (width - 1) * step_x + 1, step_x)
                np.maximum(best, padded[:, rows, columns], out=best)
        return best

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        kernel, padding, _, stride, x = random_cases.window(random, dilated=False)
        padding = (min(padding[0], kernel[0] - 1), min(padding[1], kernel[1] - 1))
        x = np.pad(x, ((0, 0), (0, kernel[0]), (0, kernel[1]), (0, 0)))  # at least one window
        quantization = random_cases.quantization_of(random, x)
        ceil = fits_ceil(kernel, stride, padding) and bool(random.integers(2))
        operation = cls("x", "y", kernel, stride, padding, ceil)
        return Example(operation, {"x": x}, {"x": quantization, "y": quantization})
