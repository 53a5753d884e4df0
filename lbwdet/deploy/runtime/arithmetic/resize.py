"""Bilinear interpolation of images, in integers; see ``Preprocess``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_ONE = 2048  # weights of the interpolation are multiples of 1 / 2048


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
