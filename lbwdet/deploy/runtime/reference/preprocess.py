"""Image to network input; see ``Preprocess``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.operations import Preprocess, Quantization
from lbwdet.deploy.runtime.reference.requantize import requantize

Array = NDArray[Any]

_ONE = 2048  # weights of the interpolation are multiples of 1 / 2048


def resized_shape(operation: Preprocess, height: int, width: int) -> tuple[int, int]:
    """Height and width of the network's input before padding."""
    if not operation.keep_ratio:
        return operation.size[1], operation.size[0]
    factor = min(max(operation.size) / max(height, width), min(operation.size) / min(height, width))
    return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)


def resize(image: Array, height: int, width: int) -> Array:
    """Bilinear interpolation of uint8 [h, w, c] to [height, width, c], in integers."""
    if image.shape[:2] == (height, width):
        return image
    top, bottom, down = _taps(image.shape[0], height)
    left, right, across = _taps(image.shape[1], width)
    across, down = across[:, None], down[:, None, None]

    def line(rows: Array) -> Array:
        pixels: Array = image[rows].astype(np.int32)
        return np.asarray(pixels[:, left] * (_ONE - across) + pixels[:, right] * across)

    total: Array = (((line(top) >> 4) * (_ONE - down)) >> 16) + (((line(bottom) >> 4) * down) >> 16)
    return ((total + 2) >> 2).astype(np.uint8)


def _taps(source: int, target: int) -> tuple[Array, Array, Array]:
    """Indices of the two neighbours of each target index, and the second one's weight."""
    position = ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32)
    first = np.floor(position)
    weight = np.rint((position - first) * np.float32(_ONE)).astype(np.int32)
    index = first.astype(np.int64)
    return index.clip(0, source - 1), (index + 1).clip(0, source - 1), weight


def quantize_pixels(operation: Preprocess, quantization: Quantization) -> Array:
    """The uint8 table [256, 3] that normalizes and quantizes a pixel of each channel."""
    pixel = np.arange(256, dtype=np.float64)[:, None]
    real = (pixel - np.array(operation.mean)) / np.array(operation.std)
    return requantize(np.rint(real / quantization.scale), quantization)


def preprocess(operation: Preprocess, quantization: Quantization, image: Array) -> Array:
    """The whole operation.

    Args:
        operation: what to do.
        quantization: of the output.
        image: uint8 [H, W, 3], channels in the order blue, green, red.

    Returns:
        uint8 [1, h, w, 3].
    """
    image = resize(image, *resized_shape(operation, *image.shape[:2]))
    if operation.to_rgb:
        image = image[:, :, ::-1]
    table = quantize_pixels(operation, quantization)
    values = np.stack([table[image[:, :, channel], channel] for channel in range(3)], -1)
    padding = [(0, -side % operation.size_divisor) for side in values.shape[:2]]
    zero_point = quantization.zero_point
    return np.pad(values, [*padding, (0, 0)], constant_values=zero_point)[None]
