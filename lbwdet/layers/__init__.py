"""Quantized layers, and the in-place swap that makes them."""

from lbwdet.layers.built import quantize_as_built_, quantized_as_built
from lbwdet.layers.calibration import (
    activation_keys,
    calibration,
    input_quantizers,
    limit_resolutions,
)
from lbwdet.layers.input_quantizer import InputQuantizer, ResolutionError, UncalibratedError
from lbwdet.layers.joint_projection import JointProjection, is_exact, project_together
from lbwdet.layers.quant_layer import QuantConv2d, QuantLayer, QuantLinear
from lbwdet.layers.quant_relu import QuantReLU
from lbwdet.layers.quantizable import quantizable_layers, register_quantizable
from lbwdet.layers.quantize import (
    describe_quantization,
    described_settings,
    quantize_,
    quantized_layers,
    unquantized_weights,
)
from lbwdet.layers.weight_readers import register_weight_reader

__all__ = [
    "InputQuantizer",
    "JointProjection",
    "QuantConv2d",
    "QuantLayer",
    "QuantLinear",
    "QuantReLU",
    "ResolutionError",
    "UncalibratedError",
    "activation_keys",
    "calibration",
    "describe_quantization",
    "described_settings",
    "input_quantizers",
    "is_exact",
    "limit_resolutions",
    "project_together",
    "quantizable_layers",
    "quantize_",
    "quantize_as_built_",
    "quantized_as_built",
    "quantized_layers",
    "register_quantizable",
    "register_weight_reader",
    "unquantized_weights",
]
