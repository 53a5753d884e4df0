"""Convolutions, fully connected layers and pooling with int8 weights."""

import numpy as np

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations import MAX_WEIGHT, Conv, MaxPool
from lbwdet.deploy.runtime.reference.convolution import output_shape
from lbwdet.deploy.runtime.weights import Array, StoredWeight

_LARGEST_BIAS = 2.0**30  # of the int32 that bias is stored in


def signed_integers(weight: StoredWeight, s_x: float) -> tuple[Array, Array]:
    """Integer weights with the gain in their scale: int8 [o, i, kh, kw], float32 [o].

    A negative gain turns the integers' signs, because ONNX wants positive scales. A channel
    of small integers gets larger ones, up to 64, because biases are rounded to units of
    ``s_x * scale``. Where a gain is so near to 0 that the bias would not fit int32 in these
    units, the scale is larger and the integers smaller.
    """
    integers = weight.integers()
    largest = np.abs(integers.integers.reshape(len(weight.codes), -1)).max(1).clip(1)
    room = 2.0 ** np.floor(np.log2(MAX_WEIGHT / largest))
    real = integers.scale * weight.gain.astype(np.float64) / room
    least = np.abs(weight.bias.astype(np.float64)) / (s_x * _LARGEST_BIAS)
    scale = np.maximum(np.maximum(np.abs(real), least), 1e-30).astype(np.float32)
    # real / scale is 1 or -1 up to a rounding, except where the scale was raised
    signed = np.rint(integers.integers * (room * (real / scale))[:, None, None, None])
    return signed.astype(np.int8), scale


def conv(graph: Graph, operation: Conv, weight: StoredWeight, values: Values) -> None:
    """Writes ``operation.output``: [n, o, h, w], or [n, o] of a fully connected layer."""
    q_x = values.quantization(operation.input)
    integers, scale = signed_integers(weight, q_x.scale if q_x else 1.0)
    sides = values.sides.get(operation.input)
    flat = sides == operation.kernel and operation.padding == (0, 0)
    if flat:
        integers = integers.reshape(len(integers), -1)
    x = values.read(operation.input)
    factors = graph("DequantizeLinear", integers, scale, np.zeros(len(scale), np.int8), axis=0)
    shift = np.float64(values.rounding_shift(operation.output))
    bias = _bias(graph, weight.bias + shift, scale, q_x.scale if q_x else None)
    if flat:
        y = graph("Gemm", graph("Flatten", x), factors, bias, transB=1)
        values.sides[operation.output] = (1, 1)
    else:
        y = graph(
            "Conv",
            x,
            factors,
            bias,
            kernel_shape=operation.kernel,
            strides=operation.stride,
            dilations=operation.dilation,
            pads=operation.padding * 2,
        )
        if sides:
            values.sides[operation.output] = output_shape(operation, *sides)
    if operation.residual is not None:
        y = graph("Add", y, _residual(graph, operation, operation.residual, y, values))
    values.write(operation.output, graph("Relu", y) if operation.relu else y)


def _bias(graph: Graph, bias: Array, scale: Array, s_x: float | None) -> str:
    """A float32 tensor [o]; with quantized inputs, int32 in units of the accumulator."""
    if s_x is None:
        return graph.constant(bias.astype(np.float32))
    unit = (s_x * scale.astype(np.float64)).astype(np.float32)
    integers = np.rint(bias / unit.astype(np.float64)).astype(np.int32)
    return graph("DequantizeLinear", integers, unit, np.zeros(len(unit), np.int32), axis=0)


def _residual(graph: Graph, operation: Conv, name: str, like: str, values: Values) -> str:
    if not operation.upsample:
        return values.read(name)
    stored = values.stored(name)
    batch_and_channels = graph("Slice", graph("Shape", stored), [0], [2])
    sides = graph("Slice", graph("Shape", like), [2], [4])
    sizes = graph("Concat", batch_and_channels, sides, axis=0)
    larger = graph(
        "Resize",
        stored,
        "",
        "",
        sizes,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return values.dequantize(name, larger)


def max_pool(graph: Graph, operation: MaxPool, values: Values) -> None:
    """Writes ``operation.output``; the numbers come out as they went in."""
    largest = graph(
        "MaxPool",
        values.read(operation.input),
        kernel_shape=operation.kernel,
        strides=operation.stride,
        pads=operation.padding * 2,
    )
    values.write(operation.output, largest)
