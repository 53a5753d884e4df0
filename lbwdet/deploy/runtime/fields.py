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
from collections.abc import Callable
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin

from lbwdet.deploy.runtime.declaration import annotations
from lbwdet.deploy.runtime.operations import Operation, every_operation, operation_named
from lbwdet.errors import ArtifactError, shown

MAX_INTEGER = (1 << 31) - 1  # what the int32 of an engine holds


def to_json(value: Any, kind: Any) -> Any:
    """The JSON value of ``value``, whose annotated type is ``kind``."""
    kind = _bare(kind)
    if dataclasses.is_dataclass(value):
        hints = annotations(value.__class__)
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
    return _reader(kind)(value, place)


Place = Any  # a text, or the place above and what to add to it: most places never become a text
Reader = Callable[[Any, Place], Any]


@functools.cache
def _reader(kind: Any) -> Reader:
    """:func:`from_json` of one type, whose annotations are looked at once."""
    kind = _bare(kind)
    arguments = get_args(kind)
    if kind is Any:
        return lambda value, place: value
    if kind is Operation:
        return _operation
    if dataclasses.is_dataclass(kind):
        return functools.partial(_dataclass, kind)
    if get_origin(kind) is Literal:
        return functools.partial(_choice, arguments)
    if get_origin(kind) is tuple:
        if arguments[1:] == (Ellipsis,):
            return functools.partial(_list, _bare(arguments[0]))
        return functools.partial(_tuple, arguments)
    if get_origin(kind) is dict:
        return functools.partial(_dict, arguments[1])
    if _is_union(kind):
        if type(None) not in arguments:
            return functools.partial(_union_member, arguments)
        (other,) = (argument for argument in arguments if argument is not type(None))
        return functools.partial(_optional, other)
    return functools.partial(_plain, kind)


def _plain(kind: Any, value: Any, place: Place) -> Any:
    if kind is float and type(value) is int and abs(value) <= MAX_INTEGER:
        return float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        _refuse(value, place, _WORDS[kind])
    if kind is int and abs(value) > MAX_INTEGER:
        _refuse(value, place, f"an integer of at most {MAX_INTEGER}")
    return value


def _choice(choices: tuple[Any, ...], value: Any, place: Place) -> Any:
    if value not in choices or not isinstance(value, str):
        _refuse(value, place, " or ".join(repr(choice) for choice in choices))
    return value


def _list(kind: Any, value: Any, place: Place) -> Any:
    items = _expect(list, value, place)
    if _are_numbers(kind, items):
        return tuple(items)
    read = _reader(kind)
    return tuple([read(item, (place, f"[{index}]")) for index, item in enumerate(items)])


def _tuple(kinds: tuple[Any, ...], value: Any, place: Place) -> Any:
    items = _expect(list, value, place)
    if len(kinds) != len(items):
        _refuse(value, place, f"a list of {len(kinds)}")
    return tuple(
        [
            _reader(kind)(item, (place, f"[{index}]"))
            for index, (kind, item) in enumerate(zip(kinds, items, strict=True))
        ]
    )


def _dict(kind: Any, value: Any, place: Place) -> Any:
    read = _reader(kind)
    return {
        key: read(item, (place, "[", key, "]")) for key, item in _expect(dict, value, place).items()
    }


def _optional(kind: Any, value: Any, place: Place) -> Any:
    return None if value is None else _reader(kind)(value, place)


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


def _text(place: Place) -> str:
    if isinstance(place, str):
        return place
    above, *added = place
    if len(added) == 3:  # a key, which a file may have chosen
        added[1] = shown(added[1])
    return _text(above) + "".join(added)


def _refuse(value: Any, place: Place, allowed: str) -> NoReturn:
    raise ArtifactError(f"{_text(place)} is {shown(value)} instead of {allowed}")


def _expect(kind: type, value: Any, place: Place) -> Any:
    if type(value) is not kind:
        _refuse(value, place, _WORDS[kind])
    return value


@functools.cache
def _defaults(kind: type) -> dict[str, Any]:
    return {
        field.name: field.default
        for field in dataclasses.fields(kind)
        if field.default is not dataclasses.MISSING
    }


def _bare(kind: Any) -> Any:
    """The type without what is said beside it."""
    return kind.__origin__ if get_origin(kind) is Annotated else kind


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _item_kinds(kind: Any, length: int) -> tuple[Any, ...]:
    arguments = get_args(kind)
    return arguments[:1] * length if arguments[1:] == (Ellipsis,) else arguments


def _dataclass(kind: Any, value: Any, place: Place) -> Any:
    value = _expect(dict, value, place)
    readers, needed = _readers(kind)
    if not (needed <= value.keys() <= readers.keys()):
        raise ArtifactError(
            f"{_text(place)}: the fields are not those of {kind.__name__}: missing "
            f"{shown(sorted(needed - value.keys()))}, "
            f"unknown {shown(sorted(value.keys() - readers.keys()))}"
        )
    return kind(**{name: readers[name](item, (place, ".", name)) for name, item in value.items()})


@functools.cache
def _readers(kind: type) -> tuple[dict[str, Reader], frozenset[str]]:
    """How each field is read, and the names of those that have no default."""
    fields = annotations(kind)
    readers = {name: _reader(field) for name, field in fields.items()}
    return readers, frozenset(fields.keys() - _defaults(kind).keys())


def _operation(value: Any, place: Place) -> Any:
    fields, name = _typed(value, place)
    kind = operation_named(name)
    if kind is None:
        _refuse(name, (place, ": type"), ", ".join(sorted(every_operation(), key=str.lower)))
    return _dataclass(kind, fields, (place, f" ({kind.__name__})"))


def _union_member(kinds: tuple[Any, ...], value: Any, place: Place) -> Any:
    """One of several dataclasses by its ``"type"``."""
    fields, name = _typed(value, place)
    for kind in kinds:
        if kind.__name__ == name:
            return _dataclass(kind, fields, (place, f" ({name})"))
    _refuse(name, (place, ": type"), ", ".join(kind.__name__ for kind in kinds))


def _typed(value: Any, place: Place) -> tuple[dict[str, Any], Any]:
    """An object's fields and its ``"type"``."""
    fields = dict(_expect(dict, value, place))
    name = fields.pop("type", None)
    return fields, name
