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
    """

    def __init__(
        self, operation: Operation, context: Context, indices: Mapping[str, NativeValue]
    ) -> None:
        self._arrays: list[Any] = []
        named = {
            field: names for field, role, names in roles(operation) if not isinstance(role, Layer)
        }
        fields = []
        for name, value in _flat(operation):
            if name in named:
                numbers = np.array([indices[item].index for item in named[name]], np.int32)
                fields.append(self._array(name, numbers, FieldKind.VALUE))
            else:
                fields.append(self._field(name, value))
        for name, constant in operation.constants(context).items():
            fields.append(self._field(name, constant))
        self.array = (Field * len(fields))(*fields)

    def __len__(self) -> int:
        return len(self.array)

    def _field(self, name: str, value: Any) -> Field:
        if value is None:
            return self._array(name, np.zeros(0, np.int32), FieldKind.INT32)
        if isinstance(value, str):
            return self._array(name, np.frombuffer(value.encode(), np.uint8), FieldKind.TEXT)
        array = np.asarray(value)
        if array.dtype.kind == "b" or (array.dtype.kind == "i" and array.dtype != np.int8):
            array = array.astype(np.int32)
        elif array.dtype.kind == "f":
            array = array.astype(np.float32)
        return self._array(name, array, _KINDS[array.dtype])

    def _array(self, name: str, array: Array, kind: FieldKind) -> Field:
        dense, text = np.ascontiguousarray(array), name.encode()
        self._arrays += [dense, text]
        return Field(text, kind, dense.size, dense.ctypes.data)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Fields by name; of a dataclass in a field its class's name, and its own fields."""
    for field in dataclasses.fields(value):
        entry, name = getattr(value, field.name), prefix + field.name
        if dataclasses.is_dataclass(entry):
            yield name, type(entry).__name__
            yield from _flat(entry, f"{name}.")
        elif isinstance(entry, tuple) and any(isinstance(item, tuple) for item in entry):
            continue  # of several levels: the operation's constants flatten it
        else:
            yield name, entry
