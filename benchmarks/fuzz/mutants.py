"""Damages bytes at random, the same way for the same seed."""

import random
import re
from collections.abc import Callable

_EDGES = (0, 1, 0x7F, 0x80, 0xFF)
_WORDS = (b"nan", b"-inf", b"1e400", b"-1", b"9" * 50, b"", b"0x10", b"1_0", b"\xd9\xa3", b"1.5")
_NUMBERS = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutant(data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """A copy with one to four kinds of damage; ``other`` is what pieces are taken from."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not changed:
            break
        rng.choice(_DAMAGES)(changed, rng, other or data)
    return bytes(changed)


def odd_text(data: bytes, rng: random.Random) -> bytes:
    """A copy of a text with other words in the place of some numbers."""
    return re.sub(rb"\d+", lambda found: rng.choice((found[0], rng.choice(_WORDS))), data)


def _flip(data: bytearray, rng: random.Random, other: bytes) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _edge(data: bytearray, rng: random.Random, other: bytes) -> None:
    data[rng.randrange(len(data))] = rng.choice(_EDGES)


def _number(data: bytearray, rng: random.Random, other: bytes) -> None:
    place, size = rng.randrange(len(data)), rng.choice((2, 4))
    value = rng.choice(_NUMBERS) % (1 << 8 * size)
    data[place : place + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _cut(data: bytearray, rng: random.Random, other: bytes) -> None:
    del data[rng.randrange(len(data)) :]


def _drop(data: bytearray, rng: random.Random, other: bytes) -> None:
    place = rng.randrange(len(data))
    del data[place : place + rng.randrange(1, 64)]


def _repeat(data: bytearray, rng: random.Random, other: bytes) -> None:
    place = rng.randrange(len(data))
    data[place:place] = data[place : place + rng.randrange(1, 64)] * rng.choice((1, 2, 200))


def _splice(data: bytearray, rng: random.Random, other: bytes) -> None:
    place, start = rng.randrange(len(data)), rng.randrange(len(other))
    piece = other[start : start + rng.randrange(1, 256)]
    data[place : place + len(piece)] = piece


_DAMAGES: tuple[Callable[[bytearray, random.Random, bytes], None], ...] = (
    _flip,
    _edge,
    _number,
    _cut,
    _drop,
    _repeat,
    _splice,
)
