"""The compiled engine as a ctypes library: finding it, and its functions. Mirrors csrc/lbw.h."""

import ctypes
import enum
import os
import sys
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_void_p
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.errors import LBWError

Array = NDArray[Any]

ABI = 6


class NativeError(LBWError):
    """The native engine is not there, or cannot do what was asked."""


class FieldKind(enum.IntEnum):
    """What a field of an operation holds."""

    INT32 = 0
    FLOAT32 = 1
    INT8 = 2
    UINT8 = 3
    TEXT = 4
    VALUE = 5


class Field(ctypes.Structure):
    """One named array of numbers."""

    _fields_ = [("name", c_char_p), ("kind", c_int32), ("count", c_int64), ("data", c_void_p)]


_ENGINE = c_void_p
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "lbw_abi": (c_int32, []),
    "lbw_last_error": (c_char_p, []),
    "lbw_isa_name": (c_char_p, [c_int32]),
    "lbw_isa_supported": (c_int32, [c_int32]),
    "lbw_create": (_ENGINE, [c_char_p, c_int32, c_int64, c_int64]),
    "lbw_destroy": (None, [_ENGINE]),
    "lbw_isa": (c_char_p, [_ENGINE]),
    "lbw_memory": (None, [_ENGINE, POINTER(c_int64), POINTER(c_int64)]),
    "lbw_add_value": (c_int32, [_ENGINE, *[c_int32] * 5]),
    "lbw_add": (c_int32, [_ENGINE, c_char_p, POINTER(Field), c_int32]),
    "lbw_run": (c_int32, [_ENGINE, c_void_p, *[c_int32] * 3]),
    "lbw_result": (c_int32, [_ENGINE, c_int32, c_void_p, c_void_p, c_void_p]),
    "lbw_mask": (c_int64, [_ENGINE, c_int32, c_int64, c_void_p]),
    "lbw_cancel": (None, [_ENGINE]),
    "lbw_value_shape": (c_int32, [_ENGINE, c_int32, c_void_p]),
    "lbw_value": (c_int32, [_ENGINE, c_int32, c_void_p]),
    "lbw_profile": (c_int32, [_ENGINE, c_int32, c_void_p, c_void_p]),
}


def read_masks(library: ctypes.CDLL, engine: int, count: int) -> tuple[Array, ...]:
    """Runs of the masks of an engine's last detections, uint32 each."""
    masks = []
    for index in range(count):
        runs = np.empty(library.lbw_mask(engine, index, 0, None), np.uint32)
        library.lbw_mask(engine, index, len(runs), runs.ctypes.data)
        masks.append(runs)
    return tuple(masks)


def library_path() -> str | None:
    """The compiled engine of this installation; None if it was not built."""
    name = "_native.dll" if sys.platform == "win32" else "_native.so"
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    return path if os.path.exists(path) else None


@cache
def load(path: str | os.PathLike[str] | None) -> ctypes.CDLL:
    """The library with the types of its functions. ctypes releases the GIL in every call.

    Raises:
        NativeError: it is not there, or was built from other sources than this package.
    """
    if path is None:
        raise NativeError(
            "the native engine of lbwdet was not built when lbwdet was installed: install a C++ "
            "compiler (Debian: apt-get install g++; Windows: LLVM's clang-cl) and run "
            "'pip install' again, or use engine='reference'"
        )
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise NativeError(f"{path} is not the native engine of lbwdet: {error}") from error
    if (found := library.lbw_abi()) != ABI:
        raise NativeError(
            f"{path} has interface {found}, this lbwdet needs {ABI}: run 'pip install' again"
        )
    return library
