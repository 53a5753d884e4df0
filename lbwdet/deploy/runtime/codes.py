"""Codes as bytes: bit-packed, or entropy-coded.

A *layout* puts codes of ``b`` bits, in two's complement, least significant bit
first, into groups of whole bytes:

- ``gapless``: the codes follow one another without gaps;
- ``whole``: ``8 // b`` codes per byte, the upper bits zero: a byte is then one
  symbol, or a few, which is what the entropy coder counts.

Unused bits are zero. At one bit the codes -1 and +1 are stored as 1 and 0.

The encoding ``bitpack`` is the gapless layout. ``deflate`` is a zlib stream
(RFC 1950) of the whole layout, written with Huffman codes alone: trained codes
hardly repeat, so that looking for repetitions makes the stream longer (measured:
6 bits 3.46 bit per weight, at an entropy of 3.40, against 3.97).
"""

import math
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lbwdet.errors import ArtifactError

Array = NDArray[Any]
Encoding = Literal["bitpack", "deflate"]

_CHUNK = 1 << 14  # words of eight codes at a time: what is worked on stays in the cache
# A symbol of a Huffman code takes a bit at least; this also bounds what a small file can become.
MAX_INFLATION = 8


def _layout(bit_width: int, encoding: Encoding) -> tuple[int, int]:
    """Codes per group and bytes per group."""
    if encoding == "deflate":
        return 8 // bit_width, 1
    divisor = math.gcd(8, bit_width)
    return 8 // divisor, bit_width // divisor


def packed_size(number: int, bit_width: int, encoding: Encoding = "bitpack") -> int:
    """Bytes of ``number`` codes; for ``'deflate'``, before compression.

    >>> packed_size(10, 6), packed_size(10, 6, "deflate"), packed_size(10, 3, "deflate")
    (8, 10, 5)
    """
    if encoding == "bitpack":
        return -(-number * bit_width // 8)
    return -(-number // (8 // bit_width))


def encode(codes: Array, bit_width: int, encoding: Encoding = "bitpack") -> bytes:
    """The bytes of int8 codes of any shape, in row-major order.

    Raises:
        ArtifactError: a code does not fit the bit width.
    """
    flat = np.ascontiguousarray(codes, np.int8).reshape(-1)
    if bit_width == 1:
        if (np.abs(flat) != 1).any():
            raise ArtifactError("1-bit codes are -1 and +1")
        flat = (flat < 0).astype(np.int8)
    elif flat.size:
        limit = 1 << (bit_width - 1)
        low, high = int(flat.min()), int(flat.max())
        if low < -limit or high >= limit:
            raise ArtifactError(f"codes {low}..{high} do not fit {bit_width} bits")
    per_group, group_bytes = _layout(bit_width, encoding)
    groups = np.zeros((-(-flat.size // per_group), per_group), np.uint8)
    groups.reshape(-1)[: flat.size] = flat.view(np.uint8) & ((1 << bit_width) - 1)
    packed = np.zeros((len(groups), group_bytes), np.uint8)
    for index in range(per_group):
        byte, shift = divmod(index * bit_width, 8)
        packed[:, byte] |= groups[:, index] << shift
        if shift + bit_width > 8:
            packed[:, byte + 1] |= groups[:, index] >> (8 - shift)
    data = packed.tobytes()[: packed_size(flat.size, bit_width, encoding)]
    if encoding == "bitpack":
        return data
    coder = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(data) + coder.flush()


def decode(data: memoryview, number: int, bit_width: int, encoding: Encoding) -> Array:
    """The codes as int8 [number].

    Raises:
        ArtifactError: the bytes are not those of so many codes. Nothing larger than
            the codes is allocated before this is known.
    """
    size = packed_size(number, bit_width, encoding)
    if encoding == "deflate":
        data = _inflate(data, size)
    if len(data) != size:
        raise ArtifactError(
            f"{len(data)} bytes given, {size} expected for {number} codes of {bit_width} bits"
        )
    packed: Array = np.frombuffer(data, np.uint8)
    if _unused(packed, number, bit_width, encoding):
        raise ArtifactError("bits that hold no code are not zero")
    step = bit_width if encoding == "bitpack" else 8 // (8 // bit_width)
    if step > bit_width == 3:  # two codes of a byte: to equal distances
        packed = (packed & 7) | (packed >> 3 << 4)
    words = np.empty(-(-number // 8), "<u8")
    scratch = np.empty(min(_CHUNK, len(words)), "<u8")
    for start in range(0, len(words), _CHUNK):
        chunk = words[start : start + _CHUNK]
        _unpack(packed[start * step : (start + len(chunk)) * step], step, chunk, scratch)
        _extend_sign(chunk, bit_width)
    return words.view(np.int8)[:number]


def _unused(packed: Array, number: int, bit_width: int, encoding: Encoding) -> int:
    """The bits that hold no code."""
    per_group, group_bytes = _layout(bit_width, encoding)
    rest = number % per_group
    last = int.from_bytes(packed[number // per_group * group_bytes :].tobytes(), "little")
    above = int(packed.max(initial=0)) >> (per_group * bit_width) if group_bytes == 1 else 0
    return last >> (rest * bit_width) | above


def _unpack(packed: Array, step: int, words: Array, scratch: Array) -> None:
    """Eight codes, ``step`` bits from one to the next, to the eight bytes of a word each.

    Halves of a word move apart, and halves of these, as in the butterflies of a fast transform.
    """
    upper = scratch[: len(words)]
    padded = np.append(packed, np.zeros(len(words) * step + 8 - len(packed), np.uint8))
    words[:] = np.ndarray(len(words), "<u8", padded, strides=(step,))
    if step == 8:
        return
    words &= np.uint64((1 << 8 * step) - 1)
    for codes in (4, 2, 1):  # of a half
        lower = _repeated((1 << codes * step) - 1, 16 * codes)
        np.bitwise_and(words, ~lower, out=upper)
        upper <<= np.uint64(codes * (8 - step))
        words &= lower
        words |= upper


def _extend_sign(words: Array, bit_width: int) -> None:
    if bit_width == 8:
        return
    sign = 1 << (bit_width - 1)
    words ^= _repeated(sign, 8)
    codes = words.view(np.int8)
    codes -= np.int8(sign)
    if bit_width == 1:  # 0 and -1 mean +1 and -1
        codes |= 1


def _repeated(bits: int, distance: int) -> np.uint64:
    """A word in which they come again and again.

    >>> hex(_repeated(0x3F, 16))
    '0x3f003f003f003f'
    """
    return np.uint64(sum(bits << shift for shift in range(0, 64, distance)))


def _inflate(data: memoryview, size: int) -> memoryview:
    if size > MAX_INFLATION * len(data):
        raise ArtifactError(f"{len(data)} bytes cannot hold {size} Huffman-coded ones")
    decoder = zlib.decompressobj()
    try:
        result = decoder.decompress(data, size + 1)  # never more than a byte too many
    except zlib.error as error:
        raise ArtifactError(f"not a zlib stream: {error}") from error
    if len(result) != size or not decoder.eof or decoder.unused_data:
        raise ArtifactError(f"the zlib stream does not hold exactly {size} bytes")
    return memoryview(result)
