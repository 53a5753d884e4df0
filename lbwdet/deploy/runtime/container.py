"""Named arrays in one file: the safetensors format, read with nothing but numpy.

::

    8 bytes   length N of the header, unsigned, little endian
    N bytes   JSON: {"__metadata__": {text: text},
                     name: {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}, ...}
    the rest  the arrays, little endian, row-major, without gaps or overlaps

Nothing is believed: lengths are held against the size of the file before anything
is read, and the table of arrays against the data before any array is made.
"""

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.record import dataclass
from lbwdet.errors import ArtifactError, shown

Array = NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "I16": np.dtype("<i2"),
    "U8": np.dtype("u1"),
}
MAX_FILE = 1 << 30  # bytes
MAX_HEADER = 8 << 20  # bytes; what JSON becomes in memory is some 30 times as much
_LENGTH_BYTES = 8
_ALIGNMENT = 8  # of the data in the file: the header is filled up with blanks


@dataclass(frozen=True)
class Container:
    """The arrays of a file and the texts that come with them.

    Attributes:
        metadata: text by name.
        arrays: by name, in the order of the data; views of one read-only buffer.
        data: that buffer, all arrays in a row.
    """

    metadata: dict[str, str]
    arrays: dict[str, Array]
    data: memoryview


def read_container(path: str | os.PathLike[str]) -> Container:
    """Reads and checks a whole file.

    Raises:
        ArtifactError: the file is not there or is not of this format.
    """
    try:
        with open(os.fspath(path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = _header_length(file.read(_LENGTH_BYTES), size)
            header = _object(parse_json(file.read(length), "the header"), "the header")
            table = _Table(header, size - _LENGTH_BYTES - length)
            return table.container(memoryview(file.read(table.size + 1)))
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        raise ArtifactError(f"cannot be read: {error}") from error


def lay_out(arrays: Mapping[str, Array]) -> tuple[dict[str, Any], bytes]:
    """The table of arrays and their data: the widest types first, then by name."""
    kinds = {dtype: kind for kind, dtype in DTYPES.items()}
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    table: dict[str, Any] = {}
    begin = 0
    for name in order:
        array = arrays[name]
        offsets = [begin, begin + array.nbytes]
        table[name] = {
            "dtype": kinds[array.dtype],
            "shape": list(array.shape),
            "data_offsets": offsets,
        }
        begin = offsets[1]
    return table, b"".join(arrays[name].tobytes() for name in order)


def container_bytes(metadata: Mapping[str, str], table: Mapping[str, Any], data: bytes) -> bytes:
    """The file with the table and the data of :func:`lay_out`."""
    header = {"__metadata__": dict(metadata), **table}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > MAX_HEADER:
        raise ArtifactError(f"the header has {len(text)} bytes, {MAX_HEADER} are allowed")
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + data


def parse_json(text: bytes | str, place: str) -> Any:
    """Strict JSON: no repeated keys, no NaN or infinity, no nesting beyond reason.

    Raises:
        ArtifactError: with the place in its message.
    """
    try:
        if isinstance(text, str):
            text.encode("utf-8")  # refuses half of a pair of surrogates
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        value = json.loads(
            decoded,
            object_pairs_hook=_no_duplicates,
            parse_float=_finite,
            parse_constant=_finite,
        )
        if "\\u" in decoded:  # the only other way to a text that UTF-8 cannot hold
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ArtifactError(f"{place} is not JSON: {error}") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object repeats a key")
    return result


def _finite(text: str) -> float:
    """Of what may be NaN, infinity, or as large as 1e999."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text} is not finite")
    return number


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ArtifactError(f"{place} is {shown(value)} instead of an object")
    return value


def _header_length(start: bytes, size: int) -> int:
    if len(start) < _LENGTH_BYTES:
        raise ArtifactError(f"{size} bytes are too few for an artifact; is it cut off?")
    if size > MAX_FILE:
        raise ArtifactError(f"{size} bytes are too many for an artifact, at most {MAX_FILE}")
    length = int.from_bytes(start, "little")
    if length > MAX_HEADER:
        raise ArtifactError(
            f"not an artifact: its first 8 bytes give a header of {length} bytes, "
            f"at most {MAX_HEADER} are allowed"
        )
    if length > size - _LENGTH_BYTES:
        raise ArtifactError(
            f"cut off: the header has {length} bytes, but after its length come only "
            f"{size - _LENGTH_BYTES}"
        )
    return length


class _Table:
    """The checked table of arrays: name, data type, shape, begin, end; by begin."""

    def __init__(self, header: dict[str, Any], data_size: int) -> None:
        metadata = _object(header.pop("__metadata__", {}), "__metadata__")
        for key, value in metadata.items():
            if not isinstance(value, str):
                raise ArtifactError(
                    f"__metadata__.{shown(key)} is {shown(value)} instead of a text"
                )
        self.metadata: dict[str, str] = metadata
        entries = [_entry(name, entry) for name, entry in header.items()]
        self.entries = sorted(entries, key=lambda entry: entry[3:])
        expected = 0
        for name, _, _, begin, end in self.entries:
            if begin != expected:
                problem = "overlaps the array" if begin < expected else "leaves a gap to the array"
                raise ArtifactError(
                    f"array {shown(name)} begins at {begin} and {problem} that ends at {expected}"
                )
            expected = end
        self.size = expected
        self.check_size(data_size)

    def check_size(self, size: int) -> None:
        if size != self.size:
            problem = "cut off" if size < self.size else "too long"
            raise ArtifactError(
                f"{problem}: the arrays take {self.size} bytes, the file has {size} for them"
            )

    def container(self, data: memoryview) -> Container:
        self.check_size(len(data))  # the file may have changed since
        arrays = {
            name: np.frombuffer(data[begin:end], dtype).reshape(shape)
            for name, dtype, shape, begin, end in self.entries
        }
        return Container(self.metadata, arrays, data)


def _entry(name: str, entry: Any) -> tuple[str, np.dtype[Any], tuple[int, ...], int, int]:
    try:
        dtype, shape, begin, end = _described(entry)
    except ArtifactError as error:
        raise ArtifactError(f"array {shown(name)}{error}") from None
    return name, dtype, shape, begin, end


def _described(entry: Any) -> tuple[np.dtype[Any], tuple[int, ...], int, int]:
    """Of an array in the table; an error begins behind the array's name."""
    fields = _object(entry, "")
    if set(fields) != {"dtype", "shape", "data_offsets"}:
        raise ArtifactError(
            f" has the fields {sorted(fields)} instead of dtype, shape, data_offsets"
        )
    dtype = DTYPES.get(fields["dtype"]) if isinstance(fields["dtype"], str) else None
    if dtype is None:
        raise ArtifactError(
            f" has the dtype {shown(fields['dtype'])}; allowed are {', '.join(DTYPES)}"
        )
    shape = _sizes(fields["shape"], "shape")
    offsets = _sizes(fields["data_offsets"], "data_offsets")
    size = math.prod(shape) * dtype.itemsize
    if len(offsets) != 2 or offsets[1] - offsets[0] != size:
        raise ArtifactError(
            f": data_offsets {shown(list(offsets))} do not span "
            f"{shown(size)} bytes, the size of {fields['dtype']} {shown(list(shape))}"
        )
    return dtype, shape, offsets[0], offsets[1]


def _sizes(value: Any, field: str) -> tuple[int, ...]:
    """A list of at most 8 integers that are not negative and that 64 bits can hold."""
    if not isinstance(value, list) or len(value) > 8:
        raise ArtifactError(f": {field} is {shown(value)} instead of a list of sizes")
    if not all([type(size) is int and 0 <= size < 1 << 63 for size in value]):
        raise ArtifactError(f": {field} is {shown(value)}; sizes are integers from 0")
    return tuple(value)
