"""Quantized layers, and the in-place swap that makes them."""

from lbwdet.layers.quant_layer import QuantConv2d, QuantLayer, QuantLinear
from lbwdet.layers.quantizable import quantizable_layers, register_quantizable
from lbwdet.layers.quantize import (
    describe_quantization,
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
    "register_quantizable",
    "unquantized_weights",
]
