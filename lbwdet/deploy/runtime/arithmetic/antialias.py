"""Smaller images as means of all pixels that each new one covers, in integers: Pillow's bilinear.

Along an axis of ``source`` pixels that becomes one of ``target``, in float64 as written, the pixel
i is made of those p with ``first <= p < last``::

    scale  = source / target;  reach = max(scale, 1);  centre = (i + 0.5) * scale
    first  = max(int(centre - reach + 0.5), 0);  last = min(int(centre + reach + 0.5), source)
    w[p]   = max(1 - abs(((p - centre) + 0.5) * (1 / reach)), 0)
    k[p]   = int(w[p] / (w[first] + w[first + 1] + ...) * 2**22 + 0.5)

and in integers ``y = min((2**21 + sum of k[p] * x[p]) >> 22, 255)``.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_BITS = 22


def antialiased(image: Array, height: int, width: int) -> Array:
    """uint8 [h, w, c] to [height, width, c], along the width first; an axis may keep its size."""
    for axis, target in ((1, width), (0, height)):
        if image.shape[axis] != target:
            image = _along(image, axis, target)
    return image


def _along(image: Array, axis: int, target: int) -> Array:
    pixels = np.moveaxis(image, axis, 0).astype(np.int32)
    total = np.full((target, *pixels.shape[1:]), 1 << (_BITS - 1), np.int32)
    places, weights = _taps(len(pixels), target)
    for place, weight in zip(places.T, weights.T, strict=True):
        total += pixels[place] * weight.reshape(-1, *[1] * (pixels.ndim - 1))
    return np.moveaxis(np.minimum(total >> _BITS, 255).astype(np.uint8), 0, axis)


def _taps(source: int, target: int) -> tuple[Array, Array]:
    """[target, taps] each: pixels, and their integer weights, which are 0 of those too many."""
    scale = source / target
    reach = max(scale, 1.0)
    centre = (np.arange(target) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach + 0.5).astype(np.int64), source)
    place = first[:, None] + np.arange(2 * math.ceil(reach) + 1)
    away = np.abs(((place - centre[:, None]) + 0.5) * (1 / reach))
    weight = np.where(place < last[:, None], np.maximum(1 - away, 0), 0)
    share = weight / weight.cumsum(1)[:, -1:]  # sums one after the other
    return place.clip(0, source - 1), (share * (1 << _BITS) + 0.5).astype(np.int32)
