"""What a kind of detector does with the regions that were proposed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from lbwdet.deploy.lower.fuse import LayerParameters
from lbwdet.deploy.runtime.operations import Operation


@dataclass(frozen=True)
class LoweredRegions:
    """From maps of the image and boxes to scores and deltas.

    Attributes:
        operations: in the order of execution.
        layers: parameters of the convolutions among them.
        scores, deltas: names of the values that ``Detections`` reads.
    """

    operations: tuple[Operation, ...]
    layers: dict[str, LayerParameters]
    scores: str
    deltas: str


class Regions(Protocol):
    """A region head whose modules and settings were checked."""

    def maps(self, model: Any, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What regions are cut from, made of the backbone's and neck's maps; is traced."""

    def lower(self, model: Any, maps: Sequence[str], boxes: str) -> LoweredRegions:
        """The operations on the maps of these names, for the boxes of this name."""
