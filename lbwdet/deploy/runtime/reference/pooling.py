"""Maximum over windows; see ``MaxPool``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.operations import MaxPool

Array = NDArray[Any]


def max_pool(operation: MaxPool, x: Array) -> Array:
    """uint8 [n, h, w, c] to [n, h', w', c]."""
    (kernel_y, kernel_x), (step_y, step_x) = operation.kernel, operation.stride
    pad_y, pad_x = operation.padding
    # 0 is the least uint8: it never wins over a pixel of the map.
    padded = np.pad(x, ((0, 0), (pad_y, pad_y), (pad_x, pad_x), (0, 0)))
    height = (padded.shape[1] - kernel_y) // step_y + 1
    width = (padded.shape[2] - kernel_x) // step_x + 1
    best = np.zeros((x.shape[0], height, width, x.shape[3]), np.uint8)
    for ky in range(kernel_y):
        for kx in range(kernel_x):
            rows = slice(ky, ky + (height - 1) * step_y + 1, step_y)
            columns = slice(kx, kx + (width - 1) * step_x + 1, step_x)
            np.maximum(best, padded[:, rows, columns], out=best)
    return best
