"""The safetensors format: as the library has it, and nothing else."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from lbwdet.deploy.runtime.container import (
    MAX_HEADER,
    container_bytes,
    lay_out,
    parse_json,
    read_container,
)
from lbwdet.errors import ArtifactError

ARRAYS = {
    "b.gain": np.array([1.5, -2, 0], np.float32),
    "a.codes": np.arange(7, dtype=np.uint8),
    "a.scale_exponent": np.array([-3], np.int16),
    "ü.codes": np.arange(6, dtype=np.uint8).reshape(2, 3),
}


def same(a, b):
    assert set(a) == set(b)
    for name, array in a.items():
        assert array.dtype == b[name].dtype
        np.testing.assert_array_equal(array, b[name])


def test_the_library_reads_what_we_write(tmp_path):
    path = tmp_path / "ours"
    path.write_bytes(container_bytes({"key": "text ü"}, *lay_out(ARRAYS)))
    with safe_open(path, "np") as file:
        same({name: file.get_tensor(name) for name in file.keys()}, ARRAYS)  # noqa: SIM118
        assert file.metadata() == {"key": "text ü"}


def test_we_read_what_the_library_writes(tmp_path):
    path = tmp_path / "theirs"
    save_file(ARRAYS, path, {"key": "text"})
    container = read_container(path)
    same(container.arrays, ARRAYS)
    assert container.metadata == {"key": "text"}


@given(st.permutations(sorted(ARRAYS)))
def test_bytes_do_not_depend_on_the_order_of_the_arrays(order):
    expected = container_bytes({}, *lay_out(ARRAYS))
    assert container_bytes({}, *lay_out({name: ARRAYS[name] for name in order})) == expected


def test_data_begin_on_a_multiple_of_eight_bytes():
    for length in range(9):
        content = container_bytes({"key": "x" * length}, *lay_out(ARRAYS))
        assert int.from_bytes(content[:8], "little") % 8 == 0


def test_a_header_too_long_to_read_is_not_written():
    with pytest.raises(ArtifactError, match="bytes, 8388608 are allowed"):
        container_bytes({"key": "x" * MAX_HEADER}, {}, b"")


def entry(dtype="U8", shape=(2,), offsets=(0, 2), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ("[]", b"", r"the header is \[\] instead of an object"),
        ("{", b"", "the header is not JSON"),
        ('{"a": NaN}', b"", "the header is not JSON"),
        ('{"a": 1e999}', b"", "the header is not JSON"),
        ('{"a": {}, "a": {}}', b"", "repeats a key"),
        ('{"a": "\\ud800"}', b"", "the header is not JSON"),
        ("[" * 100_000, b"", "the header is not JSON"),
        ("9" * 5000, b"", "the header is"),
        ({"__metadata__": {"a": 1}}, b"", "__metadata__.'a' is 1 instead of a text"),
        ({"__metadata__": []}, b"", "__metadata__ is"),
        ({"a": 3}, b"", "array 'a' is 3 instead of an object"),
        ({"a": entry(more=1)}, b"\0\0", "has the fields"),
        ({"a": entry("F64", (1,), (0, 8))}, bytes(8), "'F64'; allowed are F32, I16, U8"),
        ({"a": entry(dtype=[])}, b"\0\0", "has the dtype"),
        ({"a": entry(shape=(3,))}, b"\0\0", "do not span 3 bytes"),
        ({"a": entry(shape=(-2, -1))}, b"\0\0", "sizes are integers from 0"),
        ({"a": entry(shape=(2.0,))}, b"\0\0", "sizes are integers"),
        ({"a": entry(shape=(True, 2))}, b"\0\0", "sizes are integers"),
        ({"a": entry(shape=[1] * 9)}, b"\0\0", "instead of a list of sizes"),
        ({"a": entry(shape=(1 << 40, 1 << 40), offsets=(0, 1 << 80))}, b"", "sizes are"),
        ({"a": entry(offsets=(0, 1, 2))}, b"\0\0", "do not span"),
        ({"a": entry(offsets=(2, 0))}, b"\0\0", "do not span"),
        ({"a": entry(), "b": entry(offsets=(1, 3))}, bytes(3), "'b' begins at 1 and overlaps"),
        ({"a": entry(), "b": entry(offsets=(3, 5))}, bytes(5), "'b' begins at 3 and leaves a gap"),
        ({"a": entry()}, b"\0", "cut off: the arrays take 2 bytes, the file has 1"),
        ({"a": entry()}, b"\0\0\0", "too long: the arrays take 2 bytes, the file has 3"),
    ],
)
def test_wrong_files_are_refused(tmp_path, header, data, message):
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path = tmp_path / "file"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    with pytest.raises(ArtifactError, match=message):
        read_container(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes are too few"),
        (b"1234567", "7 bytes are too few"),
        (struct.pack("<Q", 3) + b"{}", "the header has 3 bytes, but after its length come only 2"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "not an artifact: its first 8 bytes"),
        (struct.pack("<Q", 2) + b"\xff\xff", "the header is not JSON"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ArtifactError, match=message):
        read_container(tmp_path / "file")


def test_a_file_too_large_is_not_read(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ArtifactError, match="too many for an artifact"):
        read_container(path)


@pytest.mark.parametrize("name", ["missing", "", "nul\0byte"])
def test_no_file_is_an_error_of_ours(tmp_path, name):
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_container(tmp_path / name)


def test_parse_json_takes_what_json_writes():
    assert parse_json('{"a": [1, 2.5, null, true, "ü"]}', "x") == {"a": [1, 2.5, None, True, "ü"]}
