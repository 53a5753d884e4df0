"""Quantized values: QuantizeLinear where they are written, DequantizeLinear where they are read."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.runtime.context import Array, LayerNumbers
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.shapes import Value

# Engines round to the nearest integer. Rounding up is nearest after adding almost a half:
# only reals within this share of a step above an integer come out one lower.
CEIL_MARGIN = 2.0**-10


class Values:
    """The program's values as tensors of a graph; and what else operations need.

    Args:
        graph: where the nodes go.
        quantizations: of uint8 values; what is not in it is float32.
        layers: by name; those with float32 factors stay float.
        shapes: kinds and sizes of the values.

    Attributes:
        tensors: names of tensors that hold the values as they are stored: maps [n, c, h, w],
            uint8 if quantized, boxes [n, 4], candidates [n, 7].
        size: name of a float32 tensor [2]: width and height that boxes are clipped to.
        factor: of another: from pixels of the network's input to those of the given image.
    """

    def __init__(
        self,
        graph: Graph,
        quantizations: Mapping[str, Quantization],
        layers: Mapping[str, LayerNumbers],
        shapes: Mapping[str, Value],
    ) -> None:
        self.graph = graph
        self.quantizations = quantizations
        self.layers = layers
        self.shapes = shapes
        self.tensors: dict[str, str] = {}
        self.size = self.factor = ""

    def rounding_shift(self, name: str) -> Array:
        """What to add to a real number for ``nearest`` to do what the value's rounding does.

        Float64: [c] if channels have steps of their own, else a scalar.
        """
        quantization = self.quantizations.get(name)
        if quantization is None or quantization.rounding == "nearest":
            return np.zeros(())
        return np.asarray((0.5 - CEIL_MARGIN) * quantization.steps)

    def store(self, name: str, real: str) -> str:
        """A float tensor as the value ``name`` is stored."""
        shift = _over_pixels(self.rounding_shift(name)).astype(np.float32)
        return self.quantize(name, self.graph("Add", real, shift) if shift.any() else real)

    def quantize(self, name: str, real: str) -> str:
        """The same, rounded to the nearest: the rounding shift was added before."""
        quantization = self.quantizations.get(name)
        if quantization is None:
            return real
        if quantization.maximum < 255:
            top = quantization.steps * (quantization.maximum - quantization.zero_point)
            real = self.graph("Min", real, _over_pixels(top).astype(np.float32))
        # Engines take one step for all channels of a map; the powers of two come before and after.
        real = self._scaled(real, [-e for e in quantization.exponents])
        return self.graph("QuantizeLinear", real, *self._parameters(quantization))

    def read(self, name: str) -> str:
        """The value as a float tensor."""
        return self.dequantize(name, self.tensors[name])

    def dequantize(self, name: str, stored: str) -> str:
        """Real numbers from a tensor that holds (parts of) the value as it is stored."""
        quantization = self.quantizations.get(name)
        if quantization is None:
            return stored
        real = self.graph("DequantizeLinear", stored, *self._parameters(quantization))
        return self._scaled(real, quantization.exponents)

    def in_integers_of(self, name: str, source: str) -> str:
        """A value as ``name`` is stored, whose channels' steps have the same exponents."""
        own, wanted = (
            found and dataclasses.replace(found, exponents=())
            for found in (self.quantizations.get(source), self.quantizations.get(name))
        )
        if own is None or wanted is None or own == wanted:
            return self.tensors[source]
        plain = Values(self.graph, {name: wanted, source: own}, self.layers, self.shapes)
        return plain.store(name, plain.dequantize(source, self.tensors[source]))

    def in_steps(self, name: str, exponents: tuple[int, ...]) -> str:
        """The value in steps of ``2**exponents[c]``, as a weight that took them on reads it."""
        quantization = self.quantizations.get(name)
        if quantization is None:
            return self._scaled(self.tensors[name], [-e for e in exponents])
        return self.graph("DequantizeLinear", self.tensors[name], *self._parameters(quantization))

    def _scaled(self, real: str, exponents: Sequence[int]) -> str:
        """A map whose channels are multiplied by powers of two; of none: as it is."""
        if not exponents:
            return real
        return self.graph("Mul", real, _over_pixels(np.ldexp(np.float32(1), exponents)))

    def _parameters(self, quantization: Quantization) -> tuple[str, str]:
        scale = self.graph.constant(np.float32(quantization.scale))
        return scale, self.graph.constant(np.uint8(quantization.zero_point))


def _over_pixels(of_channels: Array) -> Array:
    """[c] for maps [n, c, h, w]; a scalar stays one."""
    return of_channels[:, None, None] if of_channels.ndim else of_channels
