"""An operation in the fields of the native library; see csrc/lbw.h."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.context import Context
from lbwdet.deploy.runtime.declaration import Layer, roles
from lbwdet.deploy.runtime.native_library import Field, FieldKind
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.program import Program

Array = NDArray[Any]

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
        named = {
            name: names for name, role, names in roles(operation) if not isinstance(role, Layer)
        }
        fields = []
        for name, value in _flat(operation):
            if name in named:
                indices = np.array([values[item].index for item in named[name]], np.int32)
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
    if value is None:
        value = np.zeros(0, np.int32)
    if isinstance(value, str):
        value, kind = np.frombuffer(value.encode(), np.uint8), FieldKind.TEXT
    array = np.asarray(value)
    if array.dtype not in _KINDS:
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int32)
    array = np.ascontiguousarray(array)
    encoded = name.encode()
    made = Field(encoded, _KINDS[array.dtype] if kind is None else kind, array.size)
    made.data = array.ctypes.data
    made.keep = (encoded, array)
    return made


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Fields by name; of a dataclass in a field its class's name, and its own fields."""
    for entry in dataclasses.fields(value):
        content, name = getattr(value, entry.name), prefix + entry.name
        if dataclasses.is_dataclass(content):
            yield name, type(content).__name__
            yield from _flat(content, f"{name}.")
        elif isinstance(content, tuple) and any(isinstance(item, tuple) for item in content):
            continue  # of several levels: the operation's constants flatten it
        else:
            yield name, content
