"""Quantized values: QuantizeLinear where they are written, DequantizeLinear where they are read."""

from collections.abc import Mapping

import numpy as np

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.runtime.context import LayerNumbers
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

    def rounding_shift(self, name: str) -> float:
        """What to add to a real number for ``nearest`` to do what the value's rounding does."""
        quantization = self.quantizations.get(name)
        if quantization is None or quantization.rounding == "nearest":
            return 0.0
        return (0.5 - CEIL_MARGIN) * quantization.scale

    def store(self, name: str, real: str) -> str:
        """A float tensor as the value ``name`` is stored."""
        shift = self.rounding_shift(name)
        return self.quantize(name, self.graph("Add", real, shift) if shift else real)

    def quantize(self, name: str, real: str) -> str:
        """The same, rounded to the nearest: the rounding shift was added before."""
        quantization = self.quantizations.get(name)
        if quantization is None:
            return real
        if quantization.maximum < 255:
            top = quantization.scale * (quantization.maximum - quantization.zero_point)
            real = self.graph("Clip", real, "", top)
        return self.graph("QuantizeLinear", real, *self._parameters(quantization))

    def read(self, name: str) -> str:
        """The value as a float tensor."""
        return self.dequantize(name, self.tensors[name])

    def dequantize(self, name: str, stored: str) -> str:
        """Real numbers from a tensor that holds (parts of) the value as it is stored."""
        quantization = self.quantizations.get(name)
        if quantization is None:
            return stored
        return self.graph("DequantizeLinear", stored, *self._parameters(quantization))

    def _parameters(self, quantization: Quantization) -> tuple[str, str]:
        scale = self.graph.constant(np.float32(quantization.scale))
        return scale, self.graph.constant(np.uint8(quantization.zero_point))
