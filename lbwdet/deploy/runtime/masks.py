"""Masks as runs of pixels, and in COCO's text.

A mask's pixels are taken column after column; runs outside and inside of it follow one another,
and the first one, which may be empty, is outside.

>>> mask = Mask((2, 3), np.array([1, 2, 3], np.uint32))
>>> mask.pixels().astype(int).tolist()
[[0, 1, 0], [1, 0, 0]]
>>> mask.coco()
{'size': [2, 3], 'counts': '123'}
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.record import dataclass

Array = NDArray[Any]

_BITS, _FIRST_LETTER = 5, 48


@dataclass(frozen=True)
class Mask:
    """The pixels of an image that an object covers.

    Attributes:
        size: height and width of the image.
        runs: uint32: lengths of the runs outside and inside, in turn.
    """

    size: tuple[int, int]
    runs: Array

    @classmethod
    def of(cls, pixels: Array) -> "Mask":
        """Of bool [H, W].

        >>> Mask.of(np.array([[False, True, False], [True, False, False]])).runs.tolist()
        [1, 2, 3]
        """
        column_after_column = np.concatenate([[False], pixels.T.ravel()])  # outside first
        changes = np.flatnonzero(np.diff(column_after_column))
        runs = np.diff(np.concatenate([[0], changes, [pixels.size]]))
        return cls((pixels.shape[0], pixels.shape[1]), runs.astype(np.uint32))

    def pixels(self) -> Array:
        """bool [H, W]."""
        inside = np.arange(len(self.runs)) % 2 == 1
        height, width = self.size
        return np.repeat(inside, self.runs).reshape(width, height).T

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(self.runs[1::2].sum())

    def coco(self) -> dict[str, Any]:
        """COCO's compressed run-length encoding, as pycocotools reads it."""
        return dict(size=list(self.size), counts=text_of(self.runs))


def text_of(runs: Array) -> str:
    """COCO's text for runs.

    Each but the first three is taken less the one two before it. A number is written 5 bits at a
    time, the lowest first, a letter from '0' on for each; the sixth bit says that more follow,
    and the last letter's fifth bit is the sign.
    """
    numbers = np.asarray(runs, np.int64)
    numbers = np.concatenate([numbers[:3], numbers[3:] - numbers[1:-2]])
    letters: list[int] = []
    for number in numbers.tolist():
        more = True
        while more:
            low = number & ((1 << _BITS) - 1)
            number >>= _BITS
            more = number != (-1 if low >> (_BITS - 1) else 0)
            letters.append(low | more << _BITS)
    return (np.array(letters, np.uint8) + _FIRST_LETTER).tobytes().decode("ascii")
