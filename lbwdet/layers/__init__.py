"""Quantized layers, and the in-place swap that makes them."""

from lbwdet.layers.quant_layer import QuantConv2d, QuantLayer, QuantLinear
from lbwdet.layers.quantize import (
    describe_quantization,
    quantizable_layers,
    quantize_,
    quantized_layers,
    unquantized_weights,
)

__all__ = [
    "QuantConv2d",
    "QuantLayer",
    "QuantLinear",
    "describe_quantization",
    "quantizable_layers",
    "quantize_",
    "quantized_layers",
    "unquantized_weights",
]
