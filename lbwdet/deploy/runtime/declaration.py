"""What the annotations of an operation's fields say: ranges of numbers, and roles of names.

>>> from dataclasses import dataclass
>>> @dataclass
... class Blur:
...     input: Annotated[str, Reads(Kind.UINT8)]
...     output: Annotated[str, Writes(Kind.UINT8)]
...     radius: Annotated[int, Range(1, 8)]
>>> [(role.kind.name, names) for _, role, names in roles(Blur("x", "y", 3))]
[('UINT8', ('x',)), ('UINT8', ('y',))]
>>> check_ranges(Blur("x", "y", 9), "blur")
Traceback (most recent call last):
...
lbwdet.errors.ArtifactError: blur: radius is 9; allowed is 1 to 8
"""

import dataclasses
import enum
import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from lbwdet.errors import ArtifactError

__all__ = ["Annotated", "Kind", "Layer", "Length", "Range", "Reads", "Writes"]


class Kind(enum.Flag):
    """What a value is."""

    UINT8 = enum.auto()  # a map in integers, with a quantization
    FLOAT = enum.auto()  # a map in float32
    BOXES = enum.auto()  # float32 [n, 4]
    CANDIDATES = enum.auto()  # float32 [n, 7]
    MAP = UINT8 | FLOAT


@dataclass(frozen=True)
class Range:
    """Smallest and largest value of a number, or of every number in a tuple."""

    low: float
    high: float


@dataclass(frozen=True)
class Length:
    """Least and greatest number of entries of a tuple."""

    low: int
    high: int


@dataclass(frozen=True)
class Reads:
    """The field names a value, or several, that the operation reads.

    Attributes:
        kind: what the value must be.
        layer: a field that names a layer, whose weight multiplies the value, or samples, which that
            of their reader does; training may have rounded the value for that layer.
        steps: channels may have steps of their own.
    """

    kind: Kind
    layer: str | None = None
    steps: bool = False


@dataclass(frozen=True)
class Writes:
    """The field names the value that the operation writes.

    Attributes:
        kind: what it is; ``Kind.MAP``: uint8 or float32, whichever its readers need.
        quantized_like: a field; the output has the quantization of the value that it names.
        steps: channels may have steps of their own.
    """

    kind: Kind
    quantized_like: str | None = None
    steps: bool = False


@dataclass(frozen=True)
class Layer:
    """The field names a layer of the artifact, whose weight the operation uses."""


Role = Reads | Writes | Layer


def roles(operation: Any, kind: Any = Role) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    """The fields that name values or layers: field, role of this kind, and the names it holds."""
    for field, role in _roles_of(operation.__class__, kind):
        value = getattr(operation, field)
        names = value if isinstance(value, tuple) else () if value is None else (value,)
        yield field, role, names


@functools.cache
def _roles_of(operation: Any, kind: Any) -> list[tuple[str, Role]]:
    return [
        (field, marker)
        for field, found in markers(operation).items()
        for marker in found
        if isinstance(marker, kind)
    ]


def check_ranges(value: Any, place: str) -> None:
    """Holds every number in a dataclass, and every tuple's length, against its annotation.

    A setting that is not 0, but would be in float32, would mean something else to each engine.

    Raises:
        ArtifactError: one is out of range.
    """
    for field, found, is_nested in _checks(value.__class__):
        entry = getattr(value, field)
        if type(entry) is float and 0 < abs(entry) < _LEAST:
            raise ArtifactError(f"{place}: {field} is {entry}, which is 0 in float32")
        if is_nested:
            for part in _dataclasses_in(entry):
                check_ranges(part, f"{place}: {field}")
        for marker in found:
            if isinstance(marker, Range):
                for number in _extremes(_numbers(entry)):
                    if not marker.low <= number <= marker.high:
                        raise ArtifactError(
                            f"{place}: {field} is {number}; allowed is {marker.low:g} to "
                            f"{marker.high:g}"
                        )
            elif not marker.low <= len(entry) <= marker.high:
                raise ArtifactError(
                    f"{place}: {field} has {len(entry)} entries; allowed are {marker.low} to "
                    f"{marker.high}"
                )


@functools.cache
def _checks(kind: Any) -> list[tuple[str, list[Range | Length], bool]]:
    """The fields with something to check: ranges and lengths, and whether dataclasses may be in."""
    hints = annotations(kind)
    found = [
        (
            field,
            [marker for marker in there if isinstance(marker, Range | Length)],
            not _is_plain(hints[field]),
        )
        for field, there in markers(kind).items()
    ]
    return [each for each in found if each[1] or each[2]]


def _is_plain(hint: Any) -> bool:
    """Whether nothing in it can be a dataclass."""
    if get_origin(hint) is Annotated:
        return _is_plain(hint.__origin__)
    if get_origin(hint) is Literal or hint in _PLAIN or hint is Ellipsis:
        return True
    return bool(get_args(hint)) and all(_is_plain(part) for part in get_args(hint))


@functools.cache
def annotations(kind: Any) -> dict[str, Any]:
    """The annotated types of a dataclass's fields, with what is said beside the types."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


@functools.cache
def markers(kind: Any) -> dict[str, tuple[Any, ...]]:
    """What the annotations of a dataclass say, by field."""
    return {field: _metadata(hint) for field, hint in annotations(kind).items()}


def _metadata(hint: Any) -> tuple[Any, ...]:
    """Of the annotation itself and of what it is made of (``X | None``, ``tuple[X, ...]``)."""
    own = tuple(hint.__metadata__) if get_origin(hint) is Annotated else ()
    parts = get_args(hint)[:1] if own else get_args(hint)
    return own + tuple(marker for part in parts for marker in _metadata(part))


_LEAST = 2.0**-149  # float32 number above 0
_PLAIN = {int, float, str, bool, type(None)}


def _numbers(value: Any) -> Sequence[float]:
    if value is None:
        return ()
    if not isinstance(value, tuple):
        return (value,)
    if set(map(type, value)) <= {int, float}:  # thousands, at once
        return value
    return [number for item in value for number in _numbers(item)]


def _extremes(numbers: Sequence[float]) -> Sequence[float]:
    """Of thousands of integers the least and the greatest, which decide for all."""
    if len(numbers) > 2 and set(map(type, numbers)) == {int}:
        return min(numbers), max(numbers)
    return numbers


def _dataclasses_in(value: Any) -> Iterable[Any]:
    if type(value) in _PLAIN:
        return ()
    if not isinstance(value, tuple):
        return (value,) if dataclasses.is_dataclass(value) else ()
    if set(map(type, value)) <= _PLAIN:
        return ()
    return [part for item in value for part in _dataclasses_in(item)]
