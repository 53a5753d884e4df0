"""How integers stand for real numbers."""

import math
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.declaration import Length, Range
from lbwdet.deploy.runtime.record import dataclass

Array = NDArray[Any]


@dataclass(frozen=True)
class Quantization:
    """How a uint8 value stands for real numbers: ``(q - zero_point) * scale``.

    Of a map whose channels have steps of their own, ``(q - zero_point) * scale * 2**exponents[c]``.

    Attributes:
        scale: positive, a float32 number.
        zero_point: 0 to 255; 0 for values that are never negative.
        maximum: largest ``q``: 255 at 8 bits, 15 at 4.
        rounding: of ``real / scale``: to the ``nearest`` integer, or up (``ceil``),
            as activations with a trained resolution have it.
        exponents: one per channel, or none: all steps are equal.
    """

    scale: Annotated[float, Range(2.0**-126, 2.0**126)]
    zero_point: Annotated[int, Range(0, 255)] = 0
    maximum: Annotated[int, Range(1, 255)] = 255
    rounding: Literal["nearest", "ceil"] = "nearest"
    exponents: Annotated[tuple[int, ...], Range(-40, 40), Length(0, 1 << 16)] = ()

    @property
    def least_step(self) -> float:
        """The smallest of :attr:`steps`."""
        return math.ldexp(self.scale, min(self.exponents, default=0))

    @property
    def steps(self) -> Array:
        """What one step is worth, float64: [C], or a scalar if all are equal."""
        if not self.exponents:
            return np.asarray(np.float64(self.scale))
        return np.ldexp(np.float64(self.scale), self.exponents)


def rounded(value: Array, quantization: Quantization, low: int = 0) -> Array:
    """``clamp(round(value) + zero_point, low, maximum)`` as uint8.

    Args:
        value: float32 or float64, in units of the scale.
        quantization: of the result.
        low: the least result; the zero point, after a ReLU.
    """
    whole = np.rint(value) if quantization.rounding == "nearest" else np.ceil(value)
    # In floats: a sum too large for them to hold exactly is far outside of the range.
    shifted = whole + value.dtype.type(quantization.zero_point)
    clamped: Array = np.clip(shifted, low, quantization.maximum)
    return clamped.astype(np.uint8)
