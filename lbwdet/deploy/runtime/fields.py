"""Dataclasses as JSON and back, by the annotated types of their fields alone.

A dataclass becomes an object with its fields; those that have their default are left out, so
that a file does not change when an operation learns something new. In a union of dataclasses (the
operations) the name comes first, as ``"type"``. Tuples become lists. Reading takes nothing
else: a missing field without default, an unknown one, a number where a text belongs are errors
that say where.
"""

import dataclasses
import functools
import math
import types
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from lbwdet.deploy.runtime.operations import Operation
from lbwdet.errors import ArtifactError, shown

MAX_INTEGER = (1 << 31) - 1  # what the int32 of an engine holds


def to_json(value: Any, kind: Any) -> Any:
    """The JSON value of ``value``, whose annotated type is ``kind``."""
    if dataclasses.is_dataclass(value):
        hints = _fields(value.__class__)
        defaults = _defaults(value.__class__)
        fields = {
            name: to_json(getattr(value, name), hints[name])
            for name in hints
            if name not in defaults or getattr(value, name) != defaults[name]
        }
        one_of_several = kind is Operation or (_is_union(kind) and type(None) not in get_args(kind))
        return {"type": type(value).__name__, **fields} if one_of_several else fields
    if isinstance(value, tuple):
        return [
            to_json(item, item_kind)
            for item, item_kind in zip(value, _item_kinds(kind, len(value)), strict=True)
        ]
    if get_origin(kind) is dict and get_args(kind)[1] is not Any:
        return {key: to_json(item, get_args(kind)[1]) for key, item in value.items()}
    return value


def from_json(kind: Any, value: Any, place: str) -> Any:
    """The value of type ``kind`` that :func:`to_json` made this JSON value from.

    Args:
        kind: a dataclass, or the annotated type of a field: ``bool``, ``int``, ``float``,
            ``str``, ``Literal``, ``tuple``, ``dict`` with text keys, ``Any``, ``X | None``,
            or a union of dataclasses.
        value: what a strict JSON parser returned.
        place: where the value stands, for messages.

    Raises:
        ArtifactError: the value is not of that type.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if kind is Operation:
        return _union_member(tuple(Operation.registry.values()), value, place)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, _expect(dict, value, place), place)
    if origin is Literal:
        if value not in arguments or not isinstance(value, str):
            _refuse(value, place, " or ".join(repr(choice) for choice in arguments))
        return value
    if origin is tuple:
        items = _expect(list, value, place)
        if arguments[1:] == (Ellipsis,) and _are_numbers(arguments[0], items):
            return tuple(items)
        kinds = _item_kinds(kind, len(items))
        if len(kinds) != len(items):
            _refuse(value, place, f"a list of {len(kinds)}")
        return tuple(
            from_json(item_kind, item, f"{place}[{index}]")
            for index, (item_kind, item) in enumerate(zip(kinds, items, strict=True))
        )
    if origin is dict:
        return {
            key: from_json(arguments[1], item, f"{place}[{shown(key)}]")
            for key, item in _expect(dict, value, place).items()
        }
    if _is_union(kind):
        return _union_member(arguments, value, place)
    if kind is float and type(value) is int and abs(value) <= MAX_INTEGER:
        return float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        _refuse(value, place, _WORDS[kind])
    if kind is int and abs(value) > MAX_INTEGER:
        _refuse(value, place, f"an integer of at most {MAX_INTEGER}")
    return value


def _are_numbers(kind: Any, items: list[Any]) -> bool:
    """Whether all are of this kind and allowed: files have thousands of numbers in lists."""
    if set(map(type, items)) != {kind}:
        return False
    if kind is float:
        return all(map(math.isfinite, items))
    return kind is int and min(items) >= -MAX_INTEGER and max(items) <= MAX_INTEGER


_WORDS = {
    bool: "true or false",
    int: "an integer",
    float: "a finite number",
    str: "a text",
    list: "a list",
    dict: "an object",
}


def _refuse(value: Any, place: str, allowed: str) -> NoReturn:
    raise ArtifactError(f"{place} is {shown(value)} instead of {allowed}")


def _expect(kind: type, value: Any, place: str) -> Any:
    if type(value) is not kind:
        _refuse(value, place, _WORDS[kind])
    return value


@functools.cache
def _fields(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


@functools.cache
def _defaults(kind: type) -> dict[str, Any]:
    return {
        field.name: field.default
        for field in dataclasses.fields(kind)
        if field.default is not dataclasses.MISSING
    }


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _item_kinds(kind: Any, length: int) -> tuple[Any, ...]:
    arguments = get_args(kind)
    return arguments[:1] * length if arguments[1:] == (Ellipsis,) else arguments


def _dataclass(kind: Any, value: dict[str, Any], place: str) -> Any:
    fields = _fields(kind)
    missing = sorted(set(fields) - set(value) - set(_defaults(kind)))
    unknown = sorted(set(value) - set(fields))
    if missing or unknown:
        raise ArtifactError(
            f"{place}: the fields are not those of {kind.__name__}: missing "
            f"{shown(missing)}, unknown {shown(unknown)}"
        )
    return kind(
        **{name: from_json(fields[name], item, f"{place}.{name}") for name, item in value.items()}
    )


def _union_member(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    """``X | None``, or one of several dataclasses by its ``"type"``."""
    if type(None) in kinds:
        (kind,) = (kind for kind in kinds if kind is not type(None))
        return None if value is None else from_json(kind, value, place)
    fields = dict(_expect(dict, value, place))
    name = fields.pop("type", None)
    for kind in kinds:
        if kind.__name__ == name:
            return _dataclass(kind, fields, f"{place} ({name})")
    _refuse(name, f"{place}: type", ", ".join(kind.__name__ for kind in kinds))
