"""Masks of the image in float32, made larger: see ``SelectedMasks`` and ``Detections``."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[int, int]


class Taps(NamedTuple):
    """Of each pixel of a line, the four of another that it is made of, and what each counts.

    Attributes:
        source: int64 [n, 4].
        share: float32 [n, 4].
    """

    source: Array
    share: Array


def enlarged(masks: Array, size: Pair) -> Array:
    """float32 [n, h, w] by bilinear interpolation to [n, *size], with the places of ``Resize``."""
    if masks.shape[1:] == size:
        return masks
    down, across = (_places(*sides) for sides in zip(masks.shape[1:], size, strict=True))
    return _at(masks, down, across)


def aligned(masks: Array, factor: int) -> Array:
    """float32 [n, h, w], ``factor`` times as large, with the places of an aligned ``Resize``."""
    down, across = (_aligned_places(side * factor, factor) for side in masks.shape[1:])
    return _at(masks, down, across)


def taps(mask: int, factor: int, source: int, target: int, count: int, aligned: bool) -> Taps:
    """How one axis of a mask becomes that of an image, in two steps; see ``Detections``.

    Args:
        mask: pixels of the mask.
        factor: by how much it is made larger at first; 0: so that it is as long as ``source``.
        source: pixels of these that count.
        target: what they become.
        count: pixels that are wanted.
        aligned: with the places of an aligned ``Resize``.
    """
    first, second, share = _neighbours(_places(source, target, count), source)
    if aligned:
        place = _aligned_places(source, factor)
    elif factor:
        place = np.maximum((np.arange(source) + 0.5) / factor - 0.5, 0)
    else:
        place = _places(mask, source)
    low, high, part = _neighbours(place, mask)
    sources = np.stack([low[first], high[first], low[second], high[second]], -1)
    shares = [
        (1 - share) * (1 - part[first]),
        (1 - share) * part[first],
        share * (1 - part[second]),
        share * part[second],
    ]
    return Taps(sources, np.stack(shares, -1).astype(np.float32))


def spread(mask: Array, rows: Taps, columns: Taps) -> Array:
    """float32 [h, w] as [rows, columns]; four products each, summed in their order."""
    return _summed(_summed(mask, columns).T, rows).T


def _summed(lines: Array, taps: Taps) -> Array:
    """Along the last axis."""
    total = lines[:, taps.source[:, 0]] * taps.share[:, 0]
    for tap in range(1, 4):
        total = total + lines[:, taps.source[:, tap]] * taps.share[:, tap]
    return np.asarray(total)


def _at(masks: Array, down: Array, across: Array) -> Array:
    """Between the pixels of masks, first along the width."""
    one = np.float32(1)
    left, right, share = _neighbours(across, masks.shape[2])
    share = share.astype(np.float32)
    lines = masks[:, :, left] * (one - share) + masks[:, :, right] * share
    top, bottom, share = _neighbours(down, masks.shape[1])
    share = share.astype(np.float32)[:, None]
    return np.asarray(lines[:, top] * (one - share) + lines[:, bottom] * share)


def _aligned_places(count: int, factor: int) -> Array:
    """Where the first pixels of a line lie that is ``factor`` times as long."""
    return np.asarray(np.maximum(np.arange(count) - factor // 2, 0) / factor)


def _places(source: int, target: int, count: int | None = None) -> Array:
    """Where the first pixels of ``target`` lie among those of ``source``, float64."""
    index = np.arange(target if count is None else count)
    return np.asarray(np.maximum((index + 0.5) * (source / target) - 0.5, 0))


def _neighbours(place: Array, size: int) -> tuple[Array, Array, Array]:
    """The pixels on both sides, and the share of the second, float64."""
    first = np.minimum(np.floor(place).astype(np.int64), size - 1)
    return first, np.minimum(first + 1, size - 1), place - first
