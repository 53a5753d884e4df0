"""An operation in the fields of the native library; see csrc/lbw.h."""

import dataclasses
import functools
from array import array
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.context import Context
from lbwdet.deploy.runtime.declaration import Reads, Writes, roles
from lbwdet.deploy.runtime.native_library import Field, FieldKind
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.program import Program

Array = NDArray[Any]

_PLAIN = (int, float, str, type(None))
_OF_NUMPY = (np.ndarray, np.generic)
_REAL = (float, np.floating)
_KINDS = {
    np.dtype(np.int32): FieldKind.INT32,
    np.dtype(np.float32): FieldKind.FLOAT32,
    np.dtype(np.int8): FieldKind.INT8,
    np.dtype(np.uint8): FieldKind.UINT8,
}


@dataclasses.dataclass(frozen=True)
class NativeValue:
    """What the library is told of a value.

    Attributes:
        index: by which its operations name it.
        is_float: a float32 map; else the rest are those of its quantization.
    """

    index: int
    is_float: bool
    zero_point: int = 0
    maximum: int = 0
    ceil: bool = False

    @property
    def described(self) -> tuple[int, int, int, int]:
        """The arguments of ``lbw_add_value``, but the border."""
        return self.is_float, self.zero_point, self.maximum, self.ceil


def native_values(program: Program) -> dict[str, NativeValue]:
    """Every value of a program, by name, in the order in which it is written."""
    values: dict[str, NativeValue] = {}
    for operation in program.operations:
        for name, _ in operation.writes():
            values[name] = native_value(len(values), name, program.quantizations)
    return values


def native_value(index: int, name: str, quantizations: Mapping[str, Any]) -> NativeValue:
    """One value, with the index that it is to have."""
    if name not in quantizations:
        return NativeValue(index, is_float=True)
    q = quantizations[name]
    return NativeValue(index, False, q.zero_point, q.maximum, q.rounding == "ceil")


class Fields:
    """The fields of one operation, and the arrays that they point to.

    Every field of the dataclass under its own name, those of a dataclass in it after a dot; names
    of values as their indices; then what :meth:`Operation.constants` gives.

    Attributes:
        array: for the library; valid as long as this object lives.
    """

    def __init__(
        self, operation: Operation, context: Context, values: Mapping[str, NativeValue]
    ) -> None:
        named = {name: names for name, _, names in roles(operation, Reads | Writes)}
        fields = []
        for name, value in _flat(operation):
            if name in named:
                indices = tuple([values[item].index for item in named[name]])
                fields.append(field(name, indices, FieldKind.VALUE))
            else:
                fields.append(field(name, value))
        fields += [field(name, value) for name, value in operation.constants(context).items()]
        self.array = (Field * len(fields))(*fields)
        self._fields = fields  # they keep their arrays

    def __len__(self) -> int:
        return len(self.array)


def field(name: str, value: Any, kind: FieldKind | None = None) -> Field:
    """One field from an array, a number, a tuple, a text, or None; it keeps what it points to."""
    encoded = name.encode()
    data: Array | array[Any]
    if isinstance(value, _OF_NUMPY):
        data = np.asarray(value)
        if data.dtype not in _KINDS:
            data = data.astype(np.float32 if data.dtype.kind == "f" else np.int32)
        data = np.ascontiguousarray(data)
        address, count, found = data.__array_interface__["data"][0], data.size, _KINDS[data.dtype]
    else:
        if isinstance(value, str):
            data, found = array("b", value.encode()), FieldKind.TEXT
        else:
            items = value if isinstance(value, tuple) else () if value is None else (value,)
            real = any([issubclass(kind, _REAL) for kind in set(map(type, items))])
            data = array("f" if real else "i", items)
            found = FieldKind.FLOAT32 if real else FieldKind.INT32
        address, count = data.buffer_info()
    made = Field(encoded, found if kind is None else kind, count, address)
    made.keep = (encoded, data)
    return made


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Fields by name; of a dataclass in a field its class's name, and its own fields."""
    for entry in _field_names(value.__class__):
        content, name = getattr(value, entry), prefix + entry
        if isinstance(content, _PLAIN):
            yield name, content
        elif isinstance(content, tuple):
            # Of several levels: the operation's constants flatten it.
            if tuple not in set(map(type, content)):
                yield name, content
        else:
            yield name, type(content).__name__
            yield from _flat(content, f"{name}.")


@functools.cache
def _field_names(kind: Any) -> list[str]:
    return [entry.name for entry in dataclasses.fields(kind)]
