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

_CHUNK = 1 << 15  # groups at a time: what is worked on stays in the cache
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
    per_group, group_bytes = _layout(bit_width, encoding)
    num_groups = -(-number // per_group)
    rest = number % per_group
    packed = np.frombuffer(data, np.uint8)
    if size < num_groups * group_bytes:
        packed = np.append(packed, np.zeros(num_groups * group_bytes - size, np.uint8))
    packed = packed.reshape(num_groups, group_bytes)
    unused = int.from_bytes(packed[-1].tobytes(), "little") >> (rest * bit_width) if rest else 0
    if per_group * bit_width < 8 and num_groups:
        unused |= int(packed.max()) >> (per_group * bit_width)
    if unused:
        raise ArtifactError("bits that hold no code are not zero")
    codes = np.empty((num_groups, per_group), np.int8)
    for start in range(0, num_groups, _CHUNK):
        _unpack(packed[start : start + _CHUNK], bit_width, codes[start : start + _CHUNK])
    return codes.reshape(-1)[:number]


def _unpack(packed: Array, bit_width: int, codes: Array) -> None:
    """Moves every code to the top of its byte, then down: the sign comes along."""
    columns = np.ascontiguousarray(packed.T)
    raw = codes.view(np.uint8)
    for index in range(codes.shape[1]):
        byte, shift = divmod(index * bit_width, 8)
        top = columns[byte] >> shift
        if shift + bit_width > 8:
            top |= columns[byte + 1] << (8 - shift)
        raw[:, index] = top << (8 - bit_width)
    codes >>= 8 - bit_width
    if bit_width == 1:  # 0 and -1 mean +1 and -1
        codes |= 1


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
