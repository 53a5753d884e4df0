"""Programs of format 1, whose proposals and detections were one operation each.

They are taken apart into what today's programs are made of; the results are the same bytes.
"""

from typing import Any

from lbwdet.deploy.runtime.coders import DeltaCoder, Four
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.conv import Conv as Convolution
from lbwdet.deploy.runtime.operations.detections import Detections as Result
from lbwdet.deploy.runtime.operations.lookup import requantize
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.operations.preprocess import Preprocess as Preprocessing
from lbwdet.deploy.runtime.operations.ps_roi_align import PSRoIAlign
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.operations.regions import Regions
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.weight_entry import WeightEntry

Pair = tuple[int, int]
Three = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocess:
    """Padded with zeros alone."""

    output: str
    size: Pair
    keep_ratio: bool
    mean: Three
    std: Three
    to_rgb: bool
    size_divisor: int

    def upgraded(self) -> tuple[Operation, ...]:
        return (Preprocessing(**vars(self)),)


@dataclass(frozen=True)
class Conv:
    """A convolution without groups."""

    layer: str
    input: str
    output: str
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    relu: bool
    residual: str | None
    upsample: bool

    def upgraded(self) -> tuple[Operation, ...]:
        return (Convolution(**vars(self)),)


@dataclass(frozen=True)
class Requantize:
    """A map in the integers of one of its readers."""

    input: str
    output: str

    def upgraded(self) -> tuple[Operation, ...]:
        return (requantize(self.input, self.output),)


@dataclass(frozen=True)
class BoxCoder:
    """``DeltaCoder``, always clipped to the image."""

    means: Four
    stds: Four
    max_ratio: float

    def upgraded(self) -> DeltaCoder:
        return DeltaCoder(self.means, self.stds, self.max_ratio)


@dataclass(frozen=True)
class Proposals:
    """Boxes from the region proposal head, best first: suppressed level by level."""

    scores: tuple[str, ...]
    deltas: tuple[str, ...]
    output: str
    strides: tuple[int, ...]
    base_anchors: tuple[tuple[Four, ...], ...]
    coder: BoxCoder
    pre_nms: int
    max_boxes: int
    iou_threshold: float
    min_size: float

    def upgraded(self) -> tuple[Operation, ...]:
        candidates, kept = f"{self.output}.candidates", f"{self.output}.kept"
        return (
            Candidates(
                scores=self.scores,
                deltas=self.deltas,
                output=candidates,
                strides=self.strides,
                base_anchors=self.base_anchors,
                coder=self.coder.upgraded(),
                num_classes=1,
                activation="none",
                pre_nms=self.pre_nms,
                min_size=self.min_size,
            ),
            Suppress(candidates, kept, self.iou_threshold, self.max_boxes, "level"),
            Regions(kept, self.output),
        )


@dataclass(frozen=True)
class Detections:
    """The result from the region head: suppressed class by class, in the original's pixels."""

    scores: str
    deltas: str
    boxes: str
    num_classes: int
    class_agnostic: bool
    coder: BoxCoder
    score_threshold: float
    iou_threshold: float
    max_boxes: int

    def upgraded(self) -> tuple[Operation, ...]:
        candidates, rescaled, kept = (
            f"detections.{part}" for part in ("candidates", "rescaled", "kept")
        )
        return (
            RegionCandidates(
                self.scores,
                self.deltas,
                self.boxes,
                candidates,
                self.num_classes,
                self.class_agnostic,
                self.coder.upgraded(),
                self.score_threshold,
            ),
            Rescale(candidates, rescaled),
            Suppress(rescaled, kept, self.iou_threshold, self.max_boxes, "class"),
            Result(kept, self.num_classes),
        )


OldOperation = (
    Preprocess | Conv | MaxPool | Requantize | Proposals | RoIAlign | PSRoIAlign | Detections
)


@dataclass(frozen=True)
class OldProgram:
    """A program as a file of format 1 has it."""

    operations: tuple[OldOperation, ...]
    quantizations: dict[str, Quantization]

    def upgraded(self) -> Program:
        """The same detector in today's operations."""
        operations: list[Operation] = []
        for operation in self.operations:
            if isinstance(operation, Operation):
                operations.append(operation)
            else:
                operations.extend(operation.upgraded())
        return Program(tuple(operations), self.quantizations)


@dataclass(frozen=True)
class OldDocument:
    """The document of format 1."""

    format_version: int
    classes: tuple[str, ...]
    program: OldProgram
    weights: dict[str, WeightEntry]
    info: dict[str, Any]
