"""The registry of heads: what a detector does around the maps of its network."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from mmdet.registry import MODELS
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.errors import ConfigError


class Head(ABC):
    """A kind of detector, of which one was read.

    ``dense`` is its network, for whoever runs it: it is traced here, and other engines are given it
    as a graph. What is behind it is in ``add_to``.

    Args:
        model: MMDetection's detector in eval mode.

    Raises:
        ConfigError: a module or a setting that no operation stands for. It is told before
            anything is traced.
    """

    name: ClassVar[str]
    detectors: ClassVar[tuple[str, ...]]
    classes: ClassVar[tuple[str, ...] | None] = None
    """Names of what it finds, if these are not the classes of the data set."""

    @abstractmethod
    def __init__(self, model: Any) -> None: ...

    @staticmethod
    @abstractmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        """From the network's input [1, 3, h, w] to every map that boxes are made from."""

    @abstractmethod
    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        """Adds everything behind the dense part, up to the detections.

        Args:
            program: has the dense part.
            maps: names of the values that ``dense`` returns.
        """


class RegionHead(Head):
    """A head with a second network, behind the features of each box."""

    @staticmethod
    @abstractmethod
    def region(model: Any, features: Tensor) -> tuple[Tensor, ...]:
        """From features [n, c, h, w] of n boxes to what their candidates are made from."""


PARTS = ("roi_head", "bbox_head", "mask_head", "panoptic_head", "track_head")
HEADS: dict[str, type[Head]] = {}
H = TypeVar("H", bound=type[Head])


def head(name: str, detectors: Sequence[str]) -> Callable[[H], H]:
    """Registers a :class:`Head`.

    Args:
        name: of the module, the first that a detector has of ``PARTS``, as it is registered in
            MMDetection.
        detectors: names of the detectors whose head it may be.
    """

    def register(kind: H) -> H:
        if HEADS.setdefault(name, kind) is not kind:
            raise TypeError(f"there is a head {name} already, in {HEADS[name].__module__}")
        kind.name, kind.detectors = name, tuple(detectors)
        return kind

    return register


def head_of(model: Any) -> type[Head]:
    """The registered head of a detector: that of its class, or of the nearest class above.

    Raises:
        ConfigError: there is none.
    """
    parts = (getattr(model, part, None) for part in PARTS)
    module = next((part for part in parts if part is not None), None)
    supported = f"heads that can be are {', '.join(sorted(HEADS))}"
    for kind in type(module).__mro__:
        found = HEADS.get(kind.__name__)
        if found is not None and MODELS.get(kind.__name__) is kind:
            if any(type(model) is MODELS.get(name) for name in found.detectors):
                return found
            supported = f"{kind.__name__} can be in {' or '.join(found.detectors)}"
            break
    with_head = "" if module is None else f" with {type(module).__name__}"
    raise ConfigError(f"{type(model).__name__}{with_head} cannot be lowered; {supported}")
