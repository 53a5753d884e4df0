"""What lowering asks of modules, and how it says that they are something else."""

from typing import Any

from lbwdet.errors import ConfigError

SUPPORTED = (
    "Faster R-CNN: a backbone and a neck of convolutions, RPNHead, StandardRoIHead with "
    "SingleRoIExtractor, RoIAlign and a box head such as Shared2FCBBoxHead; and R-FCN: the "
    "same with RFCNRoIHead, PSRoIExtractor and RFCNHead"
)


def check_type(name: str, module: Any, base: type, *methods: str) -> None:
    """A subclass may have other layers, which tracing sees, but not do other things with them.

    Raises:
        ConfigError: no ``base``, or one of its ``methods`` is another.
    """
    if not isinstance(module, base) or any(
        getattr(type(module), method) is not getattr(base, method) for method in methods
    ):
        raise ConfigError(
            f"{name} {type(module).__name__} cannot be lowered; supported is {SUPPORTED}"
        )


def check_exactly(name: str, thing: Any, kind: type) -> None:
    """Raises ConfigError if ``thing`` is of another type, be it derived from ``kind``."""
    if type(thing) is not kind:
        raise ConfigError(
            f"{name}: {type(thing).__name__} cannot be lowered; supported is {kind.__name__}"
        )


def one_of_pair(name: str, pair: Any) -> int:
    """The one number that both entries of a pair are; raises ConfigError if they differ."""
    first, second = pair
    if first != second:
        raise ConfigError(f"{name}={pair} cannot be lowered; both sides have to be equal")
    return int(first)
