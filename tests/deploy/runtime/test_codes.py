"""Codes as bytes, and nothing but valid codes back."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbwdet.deploy.runtime.codes import _CHUNK, MAX_INFLATION, decode, encode, packed_size
from lbwdet.errors import ArtifactError

BIT_WIDTHS = st.integers(1, 8)
ENCODINGS = st.sampled_from(["bitpack", "deflate"])


def random_codes(number: int, bit_width: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    if bit_width == 1:
        return random.choice(np.array([-1, 1], np.int8), number)
    limit = 1 << (bit_width - 1)
    return random.integers(-limit, limit, number).astype(np.int8)


@given(st.integers(0, 100), BIT_WIDTHS, ENCODINGS, st.integers(0, 99))
def test_every_code_comes_back(number, bit_width, encoding, seed):
    codes = random_codes(number, bit_width, seed)
    data = encode(codes, bit_width, encoding)
    if encoding == "bitpack":
        assert len(data) == packed_size(number, bit_width)
    np.testing.assert_array_equal(decode(memoryview(data), number, bit_width, encoding), codes)


@pytest.mark.parametrize("bit_width", range(1, 9))
def test_more_codes_than_are_unpacked_at_once(bit_width):
    codes = random_codes(8 * (1 << 15) + 5, bit_width, 0)
    for encoding in ("bitpack", "deflate"):
        data = memoryview(encode(codes, bit_width, encoding))
        assert np.array_equal(decode(data, codes.size, bit_width, encoding), codes)


def test_codes_without_gaps():
    """Least significant bit first: -3 = 101, 1 = 001, 2 = 010, -1 = 111: 111 010 001 101."""
    codes = np.array([-3, 1, 2, -1], np.int8)
    assert encode(codes, 3) == bytes([0b10_001_101, 0b0000_111_0])
    assert encode(np.array([1, -1, -1], np.int8), 1) == bytes([0b110])


def test_whole_bytes_hold_whole_codes():
    """-2, 1, 3 at 3 bits: 110 and 001 share a byte, lowest bits first; 011 has the next."""
    codes = np.array([-2, 1, 3], np.int8)
    assert zlib.decompress(encode(codes, 3, "deflate")) == bytes([0b001_110, 0b011])


@pytest.mark.parametrize("encoding", ["bitpack", "deflate"])
@pytest.mark.parametrize("bit_width", range(1, 9))
def test_many_codes_come_back(bit_width, encoding):
    """More than are unpacked at a time, and no multiple of eight."""
    limit, random = 1 << (bit_width - 1), np.random.default_rng(bit_width)
    codes = random.integers(-limit, limit, 8 * _CHUNK + 8 * 5 + 3).astype(np.int8)
    if bit_width == 1:
        codes |= 1
    data = encode(codes, bit_width, encoding)
    found = decode(memoryview(data), codes.size, bit_width, encoding)
    assert found.dtype == np.int8 and np.array_equal(found, codes)
    assert found.base is None or found.base.nbytes < codes.nbytes + 8


def test_huffman_codes_are_within_three_percent_of_the_entropy():
    random = np.random.default_rng(0)
    for bit_width, spread in ((6, 2.2), (4, 1.2), (2, 0.45)):
        limit = (1 << (bit_width - 1)) - 1
        codes = np.clip(np.rint(random.normal(0, spread, 300_000)), -limit, limit).astype(np.int8)
        share = np.unique(codes, return_counts=True)[1] / codes.size
        entropy = -(share * np.log2(share)).sum()
        bits = 8 * len(encode(codes, bit_width, "deflate")) / codes.size
        assert entropy < bits < 1.03 * entropy


@pytest.mark.parametrize(
    ("codes", "bit_width"), [([4], 3), ([-5], 3), ([0], 1), ([2, 1], 1), ([-128, 64], 7)]
)
def test_codes_that_do_not_fit_are_refused(codes, bit_width):
    with pytest.raises(ArtifactError, match=f"{bit_width}[- ]bit"):
        encode(np.array(codes, np.int8), bit_width)


@pytest.mark.parametrize(
    ("data", "number", "bit_width", "encoding", "message"),
    [
        (b"\0\x10", 3, 4, "bitpack", "hold no code"),
        (b"\0", 3, 4, "bitpack", "1 bytes given, 2 expected"),
        (b"\0\0\0", 3, 4, "bitpack", "3 bytes given, 2 expected"),
        (b"\x20", 1, 5, "bitpack", "hold no code"),
        (zlib.compress(b"\x40"), 2, 3, "deflate", "hold no code"),
        (zlib.compress(b"\x08"), 1, 3, "deflate", "hold no code"),
        (zlib.compress(b"\0\0"), 2, 3, "deflate", "exactly 1 bytes"),
        (zlib.compress(b"\0"), 3, 3, "deflate", "exactly 2 bytes"),
        (zlib.compress(b"\0")[:-1], 2, 3, "deflate", "exactly 1 bytes"),
        (zlib.compress(b"\0") + b"x", 2, 3, "deflate", "exactly 1 bytes"),
        (b"not zlib", 2, 3, "deflate", "not a zlib stream"),
    ],
)
def test_bytes_that_are_no_codes_are_refused(data, number, bit_width, encoding, message):
    with pytest.raises(ArtifactError, match=message):
        decode(memoryview(data), number, bit_width, encoding)


def test_a_small_stream_cannot_become_large():
    bomb = zlib.compress(bytes(10_000_000), 9)
    assert len(bomb) * MAX_INFLATION < 10_000_000
    with pytest.raises(ArtifactError, match="cannot hold"):
        decode(memoryview(bomb), 10_000_000, 8, "deflate")
