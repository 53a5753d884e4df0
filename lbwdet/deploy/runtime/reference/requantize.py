"""Real numbers to uint8."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.operations import Quantization

Array = NDArray[Any]


def requantize(value: Array, quantization: Quantization, low: int = 0) -> Array:
    """``clamp(round(value) + zero_point, low, maximum)`` as uint8.

    Args:
        value: float32 or float64, in units of the scale.
        quantization: of the result.
        low: the least result; the zero point, after a ReLU.
    """
    rounded = np.rint(value) if quantization.rounding == "nearest" else np.ceil(value)
    # In floats: a sum too large for them to hold exactly is far outside of the range.
    shifted = rounded + value.dtype.type(quantization.zero_point)
    clamped: Array = np.clip(shifted, low, quantization.maximum)
    return clamped.astype(np.uint8)


def centered(value: Array, quantization: Quantization) -> Array:
    """``f32(q - zero_point)``, exact."""
    return value.astype(np.float32) - np.float32(quantization.zero_point)
