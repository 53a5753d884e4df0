"""A layer's weight as it is stored, and as the integers that engines multiply by."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.record import dataclass

Array = NDArray[Any]

MAX_WEIGHT = 64  # |integer weight|: a pair of u8 * s8 products fits int16
_CHUNK = 1 << 16
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
        return _looked_up(_two_term_table(self.bit_width), self.codes)

    def levels(self) -> tuple["Levels | None", Array]:
        """What codes stand for in the engines, None: themselves; and the integers' scale.

        Every output channel keeps its seven highest levels. Exact for two-term codes, and for up to
        seven magnitudes. Of more, the magnitudes more than six octaves below the largest *of the
        channel* become 0.

        Returns:
            The levels, and float64 [o].
        """
        channels = self.codes.shape[0]
        scale = np.broadcast_to(self.scale.astype(np.float64), channels)
        if self.code == "uniform":
            return None, scale.copy()
        if self.code == "two-term":
            tables = _two_term_table(self.bit_width)[None]
            return Levels(tables, np.zeros(channels, np.int32)), scale / tables.max()
        flat = self.codes.reshape(channels, -1)
        largest = np.maximum(flat.max(1, initial=0), -flat.min(1, initial=0).astype(np.int32))
        base = np.maximum(largest - WINDOW, 0)
        bases = sorted(set(base.tolist()))  # np.unique imports numpy.ma
        tables = np.stack([_power_table(each) for each in bases])
        of = np.searchsorted(bases, base).astype(np.int32)
        return Levels(tables, of), np.ldexp(scale, base + 1 - self.num_magnitudes)

    def integers(self) -> IntegerWeight:
        """Integers for the engines, as :meth:`levels` has them; what became 0 is counted."""
        levels, scale = self.levels()
        if levels is None:
            return IntegerWeight(self.codes, scale, 0)
        integers = levels.integers(self.codes)
        dropped = int(np.count_nonzero(self.codes)) - int(np.count_nonzero(integers))
        return IntegerWeight(integers, scale, dropped)


@dataclass(frozen=True)
class Levels:
    """The integers that codes stand for: ``tables[of[o], code & 255]`` in output channel o.

    By table, since a detector has tens of millions of codes.

    Attributes:
        tables: int8 [tables, 256].
        of: int32 [o].
    """

    tables: Array
    of: Array

    def integers(self, codes: Array) -> Array:
        """int8 of the shape of ``codes``, [o, ...]."""
        if len(self.tables) == 1:
            return _looked_up(self.tables[0], codes)
        integers = np.empty_like(codes)
        for index, table in enumerate(self.tables):
            rows = self.of == index
            integers[rows] = _looked_up(table, codes[rows])
        return integers


@functools.cache
def _two_term_table(bit_width: int) -> Array:
    levels = [0, *TWO_TERM[bit_width]]
    table = np.zeros(256, np.int8)  # negative codes at its end
    table[: len(levels)] = levels
    table[1 - len(levels) :] = [-level for level in reversed(levels[1:])]
    return table


def _power_table(base: int) -> Array:
    """Of codes whose magnitude ``base + 1`` is 1 and the next one 2."""
    code = np.arange(256).astype(np.int8).astype(np.int32)
    shift = np.abs(code) - base - 1
    powers = np.where((shift >= 0) & (shift < WINDOW), 1 << (shift & 7), 0)
    return (np.sign(code) * powers).astype(np.int8)


def _looked_up(table: Array, codes: Array) -> Array:
    """Entries of a table of 256 by codes; some at a time, since an index takes eight bytes."""
    found, places = np.empty(codes.size, np.int8), codes.reshape(-1).view(np.uint8)
    for start in range(0, found.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        np.take(table, places[part], out=found[part], mode="wrap")
    return found.reshape(codes.shape)
