"""Convolutions and fully connected layers with int8 weights, or float ones."""

import numpy as np

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.upsample import nearest, sides
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.context import Array, LayerNumbers
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.shapes import Map, Side
from lbwdet.deploy.runtime.weights import MAX_WEIGHT

_LARGEST_BIAS = 2.0**30  # of the int32 that bias is stored in


@export.register
def conv(operation: Conv, values: Values) -> str:
    graph = values.graph
    connected = _fully_connected(operation, values)
    weight, bias = _weight_and_bias(operation, values, connected)
    if connected:
        rows = graph("Flatten", values.in_steps(operation.input, operation.input_exponents))
        y = graph("Gemm", rows, weight, bias, transB=1)
    else:
        y = graph(
            "Conv",
            values.in_steps(operation.input, operation.input_exponents),
            weight,
            bias,
            kernel_shape=operation.kernel,
            strides=operation.stride,
            dilations=operation.dilation,
            pads=operation.padding * 2,
            group=operation.groups,
        )
    if operation.function == "silu":
        y = graph("Mul", y, graph("Sigmoid", y))
    if operation.residual is not None:
        residual = values.tensors[operation.residual]
        if operation.upsample:
            residual = nearest(graph, residual, sides(graph, y))
        y = graph("Add", y, values.dequantize(operation.residual, residual))
    if operation.function == "silu":
        y = values.store(operation.output, y)
    else:
        y = values.quantize(operation.output, graph("Relu", y) if operation.relu else y)
    return graph("Unsqueeze", y, [2, 3]) if connected else y


def _fully_connected(operation: Conv, values: Values) -> bool:
    source = values.shapes[operation.input]
    assert isinstance(source, Map)  # programs are checked
    covered = source.size == tuple(Side(0, side) for side in operation.kernel)
    return covered and operation.padding == (0, 0) and operation.residual is None


def _weight_and_bias(operation: Conv, values: Values, connected: bool) -> tuple[str, str]:
    """Float tensors: [o, i, kh, kw], or [o, i * kh * kw], and [o]; stored as integers if they are.

    With quantized inputs the bias is int32 in units of the accumulator.
    """
    graph, layer = values.graph, values.layers[operation.layer]
    source = values.quantizations.get(operation.input)
    bias = layer.bias.astype(np.float64)
    if operation.function == "identity":
        bias = bias + values.rounding_shift(operation.output)
    if layer.factors.dtype == np.float32:
        scale = (layer.scale * layer.gain).astype(np.float32)
        weight = layer.factors * scale[:, None, None, None]
    else:
        weight, scale = signed_integers(layer, bias, source.scale if source else 1.0)
    if connected:
        weight = weight.reshape(len(weight), -1)
    if layer.factors.dtype == np.float32:
        return graph.constant(weight), graph.constant(bias.astype(np.float32))
    factors = graph("DequantizeLinear", weight, scale, np.zeros(len(scale), np.int8), axis=0)
    if source is None:
        return factors, graph.constant(bias.astype(np.float32))
    unit = (source.scale * scale.astype(np.float64)).astype(np.float32)
    whole = np.rint(bias / unit.astype(np.float64)).astype(np.int32)
    return factors, graph("DequantizeLinear", whole, unit, np.zeros(len(unit), np.int32), axis=0)


def signed_integers(layer: LayerNumbers, bias: Array, s_x: float) -> tuple[Array, Array]:
    """Integer weights with the gain in their scale: int8 [o, i, kh, kw], float32 [o].

    A negative gain turns the integers' signs, because ONNX wants positive scales. A channel
    of small integers gets larger ones, up to 64, because biases are rounded to units of
    ``s_x * scale``. Where a gain is so near to 0 that the bias [o] would not fit int32 in these
    units, the scale is larger and the integers smaller. A channel of zeros has the units that
    its bias wants.
    """
    largest = np.abs(layer.factors.reshape(len(layer.factors), -1)).max(1)
    room = 2.0 ** np.floor(np.log2(MAX_WEIGHT / largest.clip(1)))
    real = layer.scale * layer.gain.astype(np.float64) / room * (largest > 0)
    least = np.abs(bias) / (s_x * _LARGEST_BIAS)
    scale = np.maximum(np.maximum(np.abs(real), least), 1e-30).astype(np.float32)
    # real / scale is 1 or -1 up to a rounding, except where the scale was raised
    signed = np.rint(layer.factors * (room * (real / scale))[:, None, None, None])
    return signed.astype(np.int8), scale
