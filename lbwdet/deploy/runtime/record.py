"""Frozen dataclasses that are quick to make: half of an import is the making of classes.

>>> from lbwdet.deploy.runtime.record import dataclass
>>> @dataclass(frozen=True)
... class Box:
...     width: int
...     height: int = 1
>>> Box(3), Box(3) == Box(width=3, height=1)
(Box(width=3, height=1), True)

The decorator of the standard library compiles six methods for each class, almost a millisecond;
here all classes share four of them, and the rest is the standard library's: fields, ``replace``,
errors of who changes an instance. In return an instance takes twice as long to make, some 3
microseconds: what is made in thousands should be of the other kind. Both kinds can inherit from
each other.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen):
        """As ``dataclasses.dataclass(frozen=True)``; see above."""
        if not frozen:
            raise TypeError("only frozen dataclasses are made here")
        return _made


def _made(kind: type) -> type:
    own = {name: method for name, method in _METHODS.items() if name not in kind.__dict__}
    made: type = dataclasses.dataclass(frozen=True, init=False, repr=False, eq=False)(kind)
    for name, method in own.items():
        setattr(made, name, method)
    return made


def _init(self: Any, *given: Any, **named: Any) -> None:
    names, defaults, factories = _fields(self.__class__)
    if len(given) == len(names) and not named and not hasattr(self, "__post_init__"):
        self.__dict__.update(zip(names, given, strict=True))
        return
    values = {**defaults, **dict(zip(names, given, strict=False)), **named}
    for name, factory in factories.items():
        if name not in values:
            values[name] = factory()
    if (
        len(given) > len(names)
        or values.keys() != names.keys()
        or (given and named and not named.keys().isdisjoint(list(names)[: len(given)]))
    ):
        raise TypeError(
            f"{self.__class__.__name__} was made of {len(given)} values and of "
            f"{', '.join(named) or 'none by name'}; its fields, each once: {', '.join(names)}"
        )
    self.__dict__.update(values)
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _repr(self: Any) -> str:
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in _fields(self.__class__)[0])
    return f"{self.__class__.__qualname__}({fields})"


def _eq(self: Any, other: Any) -> Any:
    return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


_METHODS = {"__init__": _init, "__repr__": _repr, "__eq__": _eq, "__hash__": _hash}


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in _fields(self.__class__)[0]])


@functools.cache
def _fields(kind: Any) -> tuple[dict[str, None], dict[str, Any], dict[str, Any]]:
    """Names, in order; defaults; what makes those defaults that each instance has for itself."""
    fields, missing = dataclasses.fields(kind), dataclasses.MISSING
    return (
        dict.fromkeys(field.name for field in fields),
        {field.name: field.default for field in fields if field.default is not missing},
        {
            field.name: field.default_factory
            for field in fields
            if field.default_factory is not missing
        },
    )
