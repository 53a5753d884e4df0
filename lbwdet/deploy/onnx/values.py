"""Quantized values: QuantizeLinear where they are written, DequantizeLinear where they are read."""

from collections.abc import Mapping

import numpy as np
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.runtime.operations import Quantization
from lbwdet.deploy.runtime.requantize_table import requantize_table

# Engines round to the nearest integer. Rounding up is nearest after adding almost a half:
# only reals within this share of a step above an integer come out one lower.
CEIL_MARGIN = 2.0**-10


class Values:
    """The program's values as tensors of a graph, [n, c, h, w] or [n, c].

    Args:
        graph: where the nodes go.
        quantizations: of the program; empty if activations stay float.
    """

    def __init__(self, graph: Graph, quantizations: Mapping[str, Quantization]) -> None:
        self._graph = graph
        self._quantizations = quantizations
        self._tensors: dict[str, str] = {}
        self.sides: dict[str, tuple[int, int]] = {}  # height and width where they are known

    def quantization(self, name: str) -> Quantization | None:
        return self._quantizations.get(name)

    def rounding_shift(self, name: str) -> float:
        """What to add to a real number for ``nearest`` to do what the value's rounding does."""
        quantization = self.quantization(name)
        if quantization is None or quantization.rounding == "nearest":
            return 0.0
        return (0.5 - CEIL_MARGIN) * quantization.scale

    def write(self, name: str, real: str) -> None:
        """Stores a float tensor, quantized if the value is; the rounding shift is added before."""
        quantization = self.quantization(name)
        if quantization is None:
            self._tensors[name] = real
            return
        scale, zero_point = quantization.scale, quantization.zero_point
        if quantization.maximum < 255:
            real = self._graph("Clip", real, "", scale * (quantization.maximum - zero_point))
        self._tensors[name] = self._graph("QuantizeLinear", real, *self._parameters(quantization))

    def requantize(self, name: str, source: str) -> None:
        """Stores ``source`` in the integers of ``name``, by the contract's table: exactly."""
        stored, wanted = self.quantization(source), self.quantization(name)
        tensor = self._tensors[source]
        if stored is not None and wanted is not None:
            indices = self._graph.cast(tensor, TensorProto.INT32)
            tensor = self._graph("Gather", requantize_table(stored, wanted), indices)
        self._tensors[name] = tensor
        if source in self.sides:
            self.sides[name] = self.sides[source]

    def read(self, name: str) -> str:
        """The value as a float tensor."""
        return self.dequantize(name, self._tensors[name])

    def stored(self, name: str) -> str:
        """The value as it is stored: uint8 if it is quantized."""
        return self._tensors[name]

    def dequantize(self, name: str, stored: str) -> str:
        """Real numbers from a tensor that holds (parts of) the value as it is stored."""
        quantization = self.quantization(name)
        if quantization is None:
            return stored
        return self._graph("DequantizeLinear", stored, *self._parameters(quantization))

    def _parameters(self, quantization: Quantization) -> tuple[str, str]:
        scale = self._graph.constant(np.float32(quantization.scale))
        return scale, self._graph.constant(np.uint8(quantization.zero_point))
