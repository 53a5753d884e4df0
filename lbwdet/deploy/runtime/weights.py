"""A layer's weight as it is stored, and as the integers that engines multiply by."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MAX_WEIGHT = 64  # |integer weight|: a pair of u8 * s8 products fits int16
WINDOW = 7  # magnitudes 2**0 .. 2**6 that an integer weight can hold


def _sums_of_two(top: int) -> tuple[int, ...]:
    terms = [0, *(1 << i for i in range(top.bit_length()))]
    return tuple(sorted({a + b for a in terms for b in terms if 0 < a + b <= top}))


# Magnitudes of the code 'two-term' by bit width, as :mod:`lbwdet.quantizers.levels` has them.
TWO_TERM: dict[int, tuple[int, ...]] = {
    4: (1, 2, 4, 6, 8, 12, 16),
    5: tuple(m for m in _sums_of_two(32) if m != 17),
    6: _sums_of_two(64),
}


@dataclass(frozen=True)
class IntegerWeight:
    """``value = integers * scale``, with ``|integers| <= 64``.

    Attributes:
        integers: int8 [o, i, kh, kw].
        scale: float64 [o].
        dropped: weights whose level lies below the channel's window and that became 0.
    """

    integers: Array
    scale: Array
    dropped: int


@dataclass(frozen=True)
class StoredWeight:
    """What an artifact holds of one layer.

    Attributes:
        codes: int8 [o, i, kh, kw]; of a fully connected layer, [o, i, 1, 1], or the shape
            that its convolution has (see ``Conv``).
        scale: float32 [1] or [o]: the value of the top level (``'uniform'``: of code 1).
        code: ``'paper'``, ``'dense'``, ``'two-term'`` (value = ±scale * m[|code|] / m[n], with
            the integers ``m`` of :data:`TWO_TERM`), or ``'uniform'`` (value = code * scale,
            |code| <= 64: layers that training kept in float).
        bit_width: bits of a stored code; 8 for ``'uniform'``.
        num_magnitudes: ``n``: ±n is the top level, ±1 the lowest; 0 for ``'uniform'``.
        gain: float32 [o]: factor per output channel after the convolution.
        bias: float32 [o].
    """

    codes: Array
    scale: Array
    code: str
    bit_width: int
    num_magnitudes: int
    gain: Array
    bias: Array

    def dequantize(self) -> Array:
        """The float32 weights [o, i, kh, kw], exactly those that training used."""
        scale = self.scale.reshape(-1, 1, 1, 1)
        if self.code == "uniform":
            return self.codes * scale
        if self.code == "two-term":
            largest = np.float32(TWO_TERM[self.bit_width][-1])
            return (self._two_term() / largest * scale).astype(np.float32)
        octave = np.abs(self.codes.astype(np.int32)) - self.num_magnitudes
        value = np.ldexp(scale * np.sign(self.codes).astype(np.float32), octave)
        return np.where(self.codes == 0, np.float32(0), value).astype(np.float32)

    def _two_term(self) -> Array:
        """The integers that the codes stand for, int8 of their shape."""
        levels = [0, *TWO_TERM[self.bit_width]]
        table = np.zeros(256, np.int8)  # by code, negative ones at its end
        table[: len(levels)] = levels
        table[1 - len(levels) :] = [-level for level in reversed(levels[1:])]
        return _looked_up(table, self.codes)

    def integers(self) -> IntegerWeight:
        """Integers for the engines: every output channel keeps its seven highest levels.

        Exact for two-term codes, and for up to seven magnitudes. Of more, the magnitudes
        more than six octaves below the largest *of the channel* become 0 and are counted.
        """
        channels = self.codes.shape[0]
        scale = np.broadcast_to(self.scale.astype(np.float64), channels)
        if self.code == "uniform":
            return IntegerWeight(self.codes, scale.copy(), 0)
        if self.code == "two-term":
            return IntegerWeight(self._two_term(), scale / TWO_TERM[self.bit_width][-1], 0)
        flat = self.codes.reshape(channels, -1)
        largest = np.maximum(flat.max(1, initial=0), -flat.min(1, initial=0).astype(np.int32))
        base = np.maximum(largest - WINDOW, 0)
        # By table, since a detector has tens of millions of codes.
        code = np.arange(256).astype(np.int8).astype(np.int32)
        integers = np.empty_like(flat)
        for value in sorted(set(base.tolist())):  # np.unique imports numpy.ma
            shift = np.abs(code) - value - 1
            table = np.sign(code) * np.where((shift >= 0) & (shift < WINDOW), 1 << (shift & 7), 0)
            rows = base == value
            integers[rows] = _looked_up(table.astype(np.int8), flat[rows])
        return IntegerWeight(
            integers.reshape(self.codes.shape),
            np.ldexp(scale, base + 1 - self.num_magnitudes),
            int(np.count_nonzero(flat)) - int(np.count_nonzero(integers)),
        )


def _looked_up(table: Array, codes: Array) -> Array:
    """Entries of an int8 table by codes: one million take a millisecond, ten by numpy's index."""
    found = codes.tobytes().translate(table.tobytes())
    return np.frombuffer(found, np.int8).reshape(codes.shape)
