"""A lowered detector as one object: program, weights, classes."""

from dataclasses import dataclass
from typing import Any

from lbwdet.deploy.runtime.operations import Program
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.errors import LBWError


class ArtifactError(LBWError):
    """An artifact is damaged, hostile or of another version."""


@dataclass(frozen=True)
class Artifact:
    """Everything that an engine needs, and what explains where it came from.

    Attributes:
        program: the operations.
        weights: by the layer's name, as ``Conv.layer`` gives it.
        classes: names, in the order of the labels.
        info: JSON values: training config, calibration, versions.
    """

    program: Program
    weights: dict[str, StoredWeight]
    classes: tuple[str, ...]
    info: dict[str, Any]
