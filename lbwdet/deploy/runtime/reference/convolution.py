"""Convolution in exact integers, and what follows it; see ``Conv``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.operations import Conv, Quantization
from lbwdet.deploy.runtime.reference.requantize import centered, requantize
from lbwdet.deploy.runtime.weights import IntegerWeight, StoredWeight

Array = NDArray[Any]


def convolve(operation: Conv, integers: Array, x: Array, zero_point: int) -> Array:
    """The accumulators: float32 or float64 [n, h, w, o] that hold exact integers.

    Floats, because BLAS is quick with them. Integers below 2**24 (2**53) and their
    sums are exact in float32 (float64) in whatever order BLAS adds them, if the sum of all
    magnitudes stays below; that sum is bounded by the weights.

    Args:
        operation: stride, padding, dilation.
        integers: int8 [o, i, kh, kw].
        x: uint8 [n, h, w, i].
        zero_point: of ``x``.
    """
    outputs, inputs, kernel_h, kernel_w = integers.shape
    bound = 255 * np.abs(integers.astype(np.int64)).reshape(outputs, -1).sum(1).max()
    dtype = np.dtype(np.float32 if bound < 1 << 24 else np.float64)
    (pad_y, pad_x), (step_y, step_x) = operation.padding, operation.stride
    centred = x.astype(dtype) - dtype.type(zero_point)
    padded = np.pad(centred, ((0, 0), (pad_y, pad_y), (pad_x, pad_x), (0, 0)))
    height, width = output_shape(operation, x.shape[1], x.shape[2])
    total = np.zeros((x.shape[0], height, width, outputs), dtype)
    for ky in range(kernel_h):
        row = ky * operation.dilation[0]
        rows = padded[:, row : row + (height - 1) * step_y + 1 : step_y]
        # All taps of one kernel row at once: few matrix products, and not too much memory.
        taps = [
            rows[:, :, column : column + (width - 1) * step_x + 1 : step_x]
            for column in range(0, kernel_w * operation.dilation[1], operation.dilation[1])
        ]
        matrix = integers[:, :, ky].transpose(2, 1, 0).reshape(kernel_w * inputs, outputs)
        total += np.concatenate(taps, -1) @ matrix.astype(dtype)
    return total


def output_shape(operation: Conv, height: int, width: int) -> tuple[int, int]:
    """Height and width of the output for those of the input."""
    sides = zip(
        (height, width),
        operation.kernel,
        operation.stride,
        operation.padding,
        operation.dilation,
        strict=True,
    )
    shape = [
        (s + 2 * pad - (k - 1) * dilation - 1) // step + 1 for s, k, step, pad, dilation in sides
    ]
    return shape[0], shape[1]


def upsample(value: Array, height: int, width: int) -> Array:
    """Nearest neighbours: pixel (i, j) of [n, h, w, c] is read at (i * h // height, ...)."""
    rows = np.arange(height) * value.shape[1] // height
    columns = np.arange(width) * value.shape[2] // width
    return value[:, rows[:, None], columns]


def multiplier_and_offset(
    weight: StoredWeight, factors: Array, s_x: float, s_y: float
) -> tuple[Array, Array]:
    """float32 [o] each: what makes accumulators multiples of the output's scale.

    ``factors`` [o] are those of the integer weight.
    """
    multiplier = s_x * factors * weight.gain.astype(np.float64) / s_y
    return multiplier.astype(np.float32), (weight.bias.astype(np.float64) / s_y).astype(np.float32)


def conv(
    operation: Conv,
    weight: StoredWeight,
    integers: IntegerWeight,
    quantizations: dict[str, Quantization],
    values: dict[str, Array],
) -> Array:
    """The whole operation: uint8 [n, h, w, o], or float32 if the output has no quantization.

    Args:
        operation: what to do.
        weight: of ``operation.layer``.
        integers: ``weight.integers()``.
        quantizations: of input, residual and output, by name.
        values: input and residual, by name.
    """
    x, q_x = values[operation.input], quantizations[operation.input]
    q_y = quantizations.get(operation.output)
    s_y = q_y.scale if q_y else 1.0
    multiplier, offset = multiplier_and_offset(weight, integers.scale, q_x.scale, s_y)
    accumulators = convolve(operation, integers.integers, x, q_x.zero_point)
    t: Array = accumulators.astype(np.float32) * multiplier + offset
    if q_y is None:
        return np.maximum(t, np.float32(0)) if operation.relu else t
    if operation.residual is not None:
        q_r = quantizations[operation.residual]
        r = values[operation.residual]
        if operation.upsample:
            r = upsample(r, *t.shape[1:3])
        t = t + centered(r, q_r) * np.float32(q_r.scale / q_y.scale)
    return requantize(t, q_y, low=q_y.zero_point if operation.relu else 0)
