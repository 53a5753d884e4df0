"""The engine's C interface, as thinly as ctypes can, for programs of a few operations."""

import ctypes
import os
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.deploy.csrc import build

Array = NDArray[Any]
KINDS = {np.dtype(np.int32): 0, np.dtype(np.float32): 1, np.dtype(np.int8): 2, np.dtype("u1"): 3}
TEXT, VALUE = 4, 5


class Field(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("kind", c_int32), ("count", c_int64), ("data", c_void_p)]


class Failed(Exception):
    """What lbw_last_error says."""


class Value(int):
    """The index of a value, which fields know from a number."""


@cache
def load() -> ctypes.CDLL:
    """The engine that LBWDET_TEST_ENGINE names, or one that is built now."""
    named = os.environ.get("LBWDET_TEST_ENGINE")
    library = ctypes.CDLL(str(Path(named) if named else build.library()))
    library.lbw_last_error.restype = c_char_p
    library.lbw_isa_name.restype = c_char_p
    library.lbw_create.restype = c_void_p
    library.lbw_create.argtypes = [c_char_p, c_int32, c_int64, c_int64]
    library.lbw_add.argtypes = [c_void_p, c_char_p, POINTER(Field), c_int32]
    library.lbw_add_value.argtypes = [c_void_p, *[c_int32] * 5]
    library.lbw_run.argtypes = [c_void_p, c_void_p, c_int32, c_int32, c_int32]
    library.lbw_result.argtypes = [c_void_p, c_int32, c_void_p, c_void_p, c_void_p]
    for name in ("lbw_value_shape", "lbw_value"):
        getattr(library, name).argtypes = [c_void_p, c_int32, c_void_p]
    for name in ("lbw_cancel", "lbw_destroy"):
        getattr(library, name).argtypes = [c_void_p]
        getattr(library, name).restype = None
    return library


def isas() -> list[str]:
    """Of this build and this CPU."""
    library, names = load(), []
    while name := library.lbw_isa_name(len(names)):
        names.append(name.decode())
    return [name for index, name in enumerate(names) if library.lbw_isa_supported(index)]


class Engine:
    """One engine; every operation writes the value that ``add`` makes for it.

    Args:
        border: of every uint8 value, at least.
    """

    def __init__(
        self,
        isa: str | None = None,
        threads: int = 1,
        border: int = 0,
        memory_limit: int = 1 << 32,
        work_limit: int = 1 << 50,
    ) -> None:
        self.library, self.border, self.floats = load(), border, list[bool]()
        self.pointer = self.library.lbw_create(
            None if isa is None else isa.encode(), threads, memory_limit, work_limit
        )
        if not self.pointer:
            raise self.error()

    def value(self, floats: bool = False, zero: int = 0, maximum: int = 255) -> Value:
        """A value that no operation writes yet."""
        index = self.expect(
            self.library.lbw_add_value(self.pointer, floats, zero, maximum, 0, self.border)
        )
        self.floats.append(floats)
        return Value(index)

    def add(self, operation: str, fields: dict[str, Any]) -> None:
        """Fields: arrays, numbers, text, values or lists of values."""
        self.add_fields(operation, [encoded(name, entry) for name, entry in fields.items()])

    def add_fields(self, operation: str, fields: list[tuple[str, int, int, Array | None]]) -> None:
        """Fields as they are: name, kind, count, data."""
        array = (Field * len(fields))(
            *(
                Field(name.encode(), kind, count, None if data is None else data.ctypes.data)
                for name, kind, count, data in fields
            )
        )
        self.expect(self.library.lbw_add(self.pointer, operation.encode(), array, len(fields)))

    def given(self, array: Array, zero: int = 0, maximum: int = 255) -> Value:
        """A value that holds this array, of four dimensions."""
        floats = array.dtype == np.float32
        output = self.value(floats, zero, maximum)
        content = {"floats" if floats else "bytes": array}
        shape = np.array(array.shape, np.int32)
        self.add("Given", {"output": output, "shape": shape, **content})
        return output

    def run(self, height: int = 32, width: int = 32) -> int:
        """The number of detections in a grey image; keeps all values."""
        image = np.full((height, width, 3), 100, np.uint8)
        return self.expect(self.library.lbw_run(self.pointer, image.ctypes.data, height, width, 1))

    def read(self, value: Value) -> Array:
        """A value of the last run."""
        shape = np.zeros(4, np.int64)
        self.expect(self.library.lbw_value_shape(self.pointer, value, shape.ctypes.data))
        array = np.empty(tuple(shape), np.float32 if self.floats[value] else np.uint8)
        self.expect(self.library.lbw_value(self.pointer, value, array.ctypes.data))
        return array

    def cancel(self) -> None:
        self.library.lbw_cancel(self.pointer)

    def expect(self, result: int) -> int:
        if result < 0:
            raise self.error()
        return result

    def error(self) -> Failed:
        return Failed(self.library.lbw_last_error().decode())

    def __del__(self) -> None:
        if self.pointer:
            self.library.lbw_destroy(self.pointer)


def encoded(name: str, entry: Any) -> tuple[str, int, int, Array | None]:
    """A field as the library takes it."""
    if isinstance(entry, str):
        data: Array = np.frombuffer(entry.encode(), np.uint8)
        return name, TEXT, data.size, data
    if isinstance(entry, Value) or (isinstance(entry, list) and isinstance(entry[0], Value)):
        data = np.array(entry, np.int32).reshape(-1)
        return name, VALUE, data.size, data
    data = np.ascontiguousarray(entry)
    if data.dtype not in KINDS:
        data = data.astype(np.float32 if data.dtype.kind == "f" else np.int32)
    return name, KINDS[data.dtype], data.size, data
