"""What an operation finds when its numbers are asked for, and when it runs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.quantization import Quantization, rounded
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.weights import Levels, StoredWeight

Array = NDArray[Any]


@dataclass(frozen=True)
class LayerNumbers:
    """A layer as it multiplies: ``value = factors * scale``, then ``* gain + bias``.

    Attributes:
        factors: [o, i, kh, kw]: int8, or, to run a program in reals, float32.
        scale: float64 [o].
        gain, bias: float32 [o].
        levels: what factors stand for; None: themselves.
    """

    factors: Array
    scale: Array
    gain: Array
    bias: Array
    levels: Levels | None = None

    @property
    def plain_factors(self) -> Array:
        """Factors that stand for themselves."""
        return self.factors if self.levels is None else self.levels.integers(self.factors)

    @staticmethod
    def coded(weight: StoredWeight) -> "LayerNumbers":
        """The same as :meth:`integer`, but the codes and what they stand for."""
        levels, scale = weight.levels()
        return LayerNumbers(weight.codes, scale, weight.gain, weight.bias, levels)

    @staticmethod
    def integer(weight: StoredWeight) -> "LayerNumbers":
        """The integers that the engines multiply by."""
        integers = weight.integers()
        return LayerNumbers(integers.integers, integers.scale, weight.gain, weight.bias)

    @staticmethod
    def real(weight: StoredWeight) -> "LayerNumbers":
        """The weights that training used, even where integers drop the lowest levels."""
        ones = np.ones(len(weight.codes))
        return LayerNumbers(weight.dequantize(), ones, weight.gain, weight.bias)


class Context:
    """Quantizations and layers of a program.

    Args:
        quantizations: of its uint8 values.
        layers: by name.
    """

    def __init__(
        self, quantizations: Mapping[str, Quantization], layers: Mapping[str, LayerNumbers]
    ) -> None:
        self.quantizations = quantizations
        self.layers = layers

    def scale(self, name: str) -> float:
        """Of a uint8 value; 1 of a value in reals."""
        quantization = self.quantizations.get(name)
        return 1.0 if quantization is None else quantization.scale

    def steps(self, name: str) -> Array:
        """Of a uint8 value, float64: [C] if its channels differ, else a scalar; 1 in reals."""
        quantization = self.quantizations.get(name)
        return np.asarray(1.0) if quantization is None else quantization.steps

    def zero_point(self, name: str) -> int:
        """Of a uint8 value; 0 of a value in reals."""
        quantization = self.quantizations.get(name)
        return 0 if quantization is None else quantization.zero_point

    def ratio(self, input: str, output: str) -> np.float32:
        """``f32(s_x / s_y)``, computed in float64."""
        return np.float32(self.scale(input) / self.scale(output))

    def ratios(self, inputs: Sequence[str], output: str) -> Array:
        """``f32(s_i / s_y)`` of each input, computed in float64."""
        scales = np.array([self.scale(name) for name in inputs])
        return np.asarray((scales / self.scale(output)).astype(np.float32))


class Run(Context):
    """One image on its way through a program.

    Args:
        quantizations, layers: of the program.
        image: uint8 [H, W, 3].
        convolve: see :func:`lbwdet.deploy.runtime.arithmetic.convolution.convolve`; another
            one may be quicker with reals.

    Attributes:
        values: arrays by name: maps [n, h, w, c], boxes [n, 4], candidates [n, 7].
        resized: height and width of the image as resized, before padding.
        bounds: height and width that boxes are clipped to; more than ``resized`` where pixels
            were added.
    """

    def __init__(
        self,
        quantizations: Mapping[str, Quantization],
        layers: Mapping[str, LayerNumbers],
        image: Array,
        convolve: Callable[..., Array] | None = None,
    ) -> None:
        super().__init__(quantizations, layers)
        self.image = image
        self.resized: tuple[int, int] = (image.shape[0], image.shape[1])
        self.bounds = self.resized
        self.values: dict[str, Array] = {}
        self.convolve = convolve

    def centered(self, name: str) -> Array:
        """``f32(q - zero_point)``, exact; of a value in reals, the value."""
        value = self.values[name]
        if name not in self.quantizations:
            return value
        return value.astype(np.float32) - np.float32(self.quantizations[name].zero_point)

    def store(self, name: str, value: Array, positive: bool = False) -> Array:
        """The output ``name`` from float32 numbers in units of its scale.

        ``clamp(round(value) + zero_point, low, maximum)`` as uint8, where ``round`` is that of
        its quantization and ``low`` is 0, or the zero point if ``positive``. A value in reals
        stays what it is, or ``max(value, 0)``.
        """
        quantization = self.quantizations.get(name)
        if quantization is None:
            return np.maximum(value, np.float32(0)) if positive else value
        return rounded(value, quantization, quantization.zero_point if positive else 0)
