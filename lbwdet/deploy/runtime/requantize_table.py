"""The table of ``Requantize``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.operations import Quantization

Array = NDArray[Any]


def requantize_table(source: Quantization, target: Quantization) -> Array:
    """The target's integer for each integer of the source, uint8 [256]; see ``Requantize``.

    If both are rounded up and the target's step is a whole multiple of the source's, rounding
    twice is rounding once, since ``ceil(ceil(x) / k) = ceil(x / k)``. To the nearest the same
    holds for odd multiples, up to ties. Other steps send about one real in
    ``target.scale / source.scale`` to a neighbour of its integer, half of the time.

    >>> eight, four = Quantization(0.25, 0, 255, "ceil"), Quantization(1.0, 0, 15, "ceil")
    >>> requantize_table(eight, four)[[0, 1, 4, 5, 60, 61, 255]].tolist()
    [0, 1, 1, 2, 15, 15, 15]
    """
    steps = np.arange(256) - np.float64(source.zero_point)
    if source.rounding == "ceil":
        steps[steps != 0] -= 0.5
    real = steps * source.scale / target.scale
    rounded = np.rint(real) if target.rounding == "nearest" else np.ceil(real)
    table: Array = np.clip(rounded + target.zero_point, 0, target.maximum)
    return table.astype(np.uint8)
