"""Images resized as Pillow does: means of all pixels under a triangle; see ``Preprocess``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_BITS = 22  # of the fractions of weights


def resample(image: Array, height: int, width: int) -> Array:
    """uint8 [h, w, c] to [height, width, c], first along the width, in integers."""
    return _lines(_lines(image, width, 1), height, 0)


def _lines(image: Array, target: int, axis: int) -> Array:
    source = image.shape[axis]
    if source == target:
        return image
    first, weights = _weights(source, target)
    total: Array = np.full((target, *np.delete(image.shape, axis)), 1 << (_BITS - 1), np.int64)
    lines = np.moveaxis(image, axis, 0)
    for tap, weight in enumerate(weights.T):
        pixels = lines[np.minimum(first + tap, source - 1)].astype(np.int64)
        total += pixels * weight.reshape(-1, *[1] * (image.ndim - 1))
    return np.moveaxis(np.minimum(total >> _BITS, 255).astype(np.uint8), 0, axis)


def _weights(source: int, target: int) -> tuple[Array, Array]:
    """Of each target index the first pixel that counts, and what it and the next count."""
    step = source / target
    reach = max(step, 1.0)
    center = (np.arange(target) + 0.5) * step
    first = np.maximum(np.trunc(center - reach + 0.5), 0).astype(np.int64)
    end = np.minimum(np.trunc(center + reach + 0.5), source).astype(np.int64)
    pixels = first[:, None] + np.arange((end - first).max())
    far = np.abs((pixels - center[:, None] + 0.5) * (1 / reach))
    share = np.where((far < 1) & (pixels < end[:, None]), 1 - far, 0)
    total = np.cumsum(share, 1)[:, -1:]  # one after the other
    return first, np.trunc(0.5 + share / total * (1 << _BITS)).astype(np.int64)
