"""Masks of boxes in the pixels of an image; see ``Detections``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[int, int]

_HALF = np.float32(0.5)


def paste(mask: Array, box: Array, threshold: float, size: Pair) -> tuple[Array, Pair]:
    """The pixels that a box's mask covers.

    Args:
        mask: float32 [h, w], of the box.
        box: float32 [4], in pixels of the image.
        threshold: the least value that counts.
        size: height and width of the image.

    Returns:
        bool [rows, columns] of a window of the image, and the window's first row and column.
    """
    x1, y1, x2, y2 = box
    left, right = _window(x1, x2, size[1])
    top, bottom = _window(y1, y2, size[0])
    padded = np.pad(mask, 2)  # what lies outside counts as 0
    column, fraction = _places(left, right, x1, x2, mask.shape[1])
    one = np.float32(1)
    lines = padded[:, column] * (one - fraction) + padded[:, column + 1] * fraction
    row, fraction = _places(top, bottom, y1, y2, mask.shape[0])
    share = fraction[:, None]
    values = lines[row] * (one - share) + lines[row + 1] * share
    return values >= np.float32(threshold), (top, left)


def _window(first: np.float32, second: np.float32, length: int) -> Pair:
    """Pixels that a side of a box reaches, and one more on each end; inside of the image."""
    ends = np.array([np.floor(first) - np.float32(1), np.ceil(second) + np.float32(1)])
    inside = np.where(ends > 0, np.where(ends < length, ends, length), 0)  # 0 if no number
    low, high = (int(end) for end in inside)
    return low, max(low, high)


def _places(
    low: int, high: int, first: np.float32, second: np.float32, count: int
) -> tuple[Array, Array]:
    """Of each pixel the earlier of its two neighbours in a mask padded by 2, and how far it is."""
    pixels = np.arange(low, high).astype(np.float32) + _HALF
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        u = (pixels - first) / (second - first) * np.float32(count) - _HALF
    u = np.where(np.isfinite(u), u, np.float32(count) * _HALF - _HALF)
    u = np.clip(u, np.float32(-2), np.float32(count + 1))
    j = np.floor(u)
    # At count + 1 the second neighbour, which counts nothing, would lie beyond the padding.
    return np.minimum(j.astype(np.int64) + 2, count + 2), u - j


def runs_of(window: Array, corner: Pair, size: Pair) -> Array:
    """Lengths of the runs of an image's pixels outside and inside of a mask, in turn.

    Pixels are taken column after column; the first run, which may be empty, is outside.

    Args:
        window: bool [rows, columns]; outside of it nothing is inside.
        corner: first row and column of the window.
        size: height and width of the image.

    Returns:
        uint32 lengths, whose sum is the number of pixels.
    """
    whole = np.zeros((size[1], size[0]), bool)
    top, left = corner
    whole[left : left + window.shape[1], top : top + window.shape[0]] = window.T
    line = whole.reshape(-1)
    changes = np.flatnonzero(np.diff(line, prepend=False))
    return np.diff(changes, prepend=0, append=line.size).astype(np.uint32)
