"""A detector from an artifact: image in, boxes with names out."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.artifact import Artifact, read_artifact
from lbwdet.deploy.runtime.masks import Mask
from lbwdet.deploy.runtime.native import NativeEngine
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.errors import ConfigError

Array = NDArray[Any]


class Engine(Protocol):
    """What runs a program, whichever way."""

    def detect(self, image: Array) -> tuple[Array, Array, Array]:
        """Boxes, scores and labels of one uint8 [H, W, 3] BGR image."""
        ...

    def instances(self, image: Array) -> tuple[Any, ...]:
        """The same, and, of a program with masks, their runs: a tuple of uint32 arrays."""
        ...

    def values(self, image: Array, names: Sequence[str]) -> dict[str, Array]:
        """Intermediate values, by name."""
        ...


@dataclass(frozen=True)
class DetectionResult:
    """What was found in one image, best first.

    Attributes:
        boxes: float32 [n, 4]: x1, y1, x2, y2 in pixels of the image.
        scores: float32 [n], 0 to 1.
        labels: int64 [n]: index into the detector's classes.
        names: the labels' class names.
        masks: the pixels that each covers; None of a detector without masks.
    """

    boxes: Array
    scores: Array
    labels: Array
    names: tuple[str, ...]
    masks: tuple[Mask, ...] | None = None

    def above(self, score: float) -> "DetectionResult":
        """Only what has this score or more."""
        kept = np.flatnonzero(self.scores >= np.float32(score))
        return DetectionResult(
            self.boxes[kept],
            self.scores[kept],
            self.labels[kept],
            tuple(self.names[index] for index in kept),
            None if self.masks is None else tuple(self.masks[index] for index in kept),
        )

    def as_json(self) -> list[dict[str, Any]]:
        """As JSON values: label, score, box, and COCO's run-length encoding of the mask, if any."""
        masks = self.masks or (None,) * len(self)
        return [
            dict(
                label=name,
                score=float(score),
                box=[float(side) for side in box],
                **({} if mask is None else dict(mask=mask.coco())),
            )
            for name, score, box, mask in zip(
                self.names, self.scores, self.boxes, masks, strict=True
            )
        ]

    def __len__(self) -> int:
        return len(self.scores)


class Detector:
    """Detects objects with an exported model; needs numpy and nothing else.

    Args:
        artifact: a ``model.lbw`` file, or what :func:`read_artifact` made of it.
        threads: CPU threads of the native engine; None: all that are available.
        engine: ``'native'``, or ``'reference'``: numpy, slow, the same results.
        memory_limit, work_limit: of the native engine: bytes, and multiplications and
            comparisons, that one image may take; None: half of the machine's memory, and a
            minute or two of work.
        score_threshold: only detections with this score or a higher one; None: the model's own
            threshold, below which nothing is ever found.

    Attributes:
        classes: class names.
        engine: what runs the model, see :class:`Engine`.

    Raises:
        ArtifactError: the file is missing, damaged or of a newer format.
        ConfigError: an unknown engine, one that is not there, or a setting out of range.

    Example::

        detector = Detector("model.lbw", threads=2)
        found = detector(image)
        for box, score, name in zip(found.boxes, found.scores, found.names): ...
    """

    def __init__(
        self,
        artifact: str | os.PathLike[str] | Artifact,
        threads: int | None = None,
        engine: str = "native",
        score_threshold: float | None = None,
        memory_limit: int | None = None,
        work_limit: int | None = None,
    ) -> None:
        if engine not in _ENGINES:
            raise ConfigError(f"engine={engine!r} is not known; choose from {', '.join(_ENGINES)}")
        if score_threshold is not None and not 0 <= score_threshold <= 1:
            raise ConfigError(f"score_threshold={score_threshold!r}: scores lie between 0 and 1")
        source = artifact if isinstance(artifact, Artifact) else os.path.abspath(artifact)
        self._arguments = (source, threads, engine, score_threshold, memory_limit, work_limit)
        if not isinstance(artifact, Artifact):
            artifact = read_artifact(artifact)
        self.classes = artifact.classes
        settings = dict(threads=threads, memory_limit=memory_limit, work_limit=work_limit)
        given = {name: value for name, value in settings.items() if value is not None}
        self.engine = _ENGINES[engine](artifact, given)
        self._score_threshold = score_threshold

    def __call__(self, image: Array) -> DetectionResult:
        """Detects objects in one image.

        Args:
            image: uint8 [H, W, 3], channels in the order blue, green, red, as OpenCV reads it.

        Raises:
            DataError: it is something else, empty, or larger than 2**29 pixels.
        """
        boxes, scores, labels, *rest = self.engine.instances(image)
        masks = None
        if rest:
            size = (image.shape[0], image.shape[1])
            masks = tuple(Mask(size, runs) for runs in rest[0])
        names = tuple(map(self.classes.__getitem__, labels.tolist()))
        found = DetectionResult(boxes, scores, labels, names, masks)
        return found if self._score_threshold is None else found.above(self._score_threshold)

    def cancel(self) -> None:
        """Ends a run of the native engine under way in another thread: it raises NativeError."""
        if isinstance(self.engine, NativeEngine):
            self.engine.cancel()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as what it was made of: a worker gets an engine of its own."""
        return Detector, self._arguments


def _reference(artifact: Artifact, settings: dict[str, int]) -> Engine:
    from lbwdet.deploy.runtime.reference_engine import ReferenceEngine

    if settings:
        raise ConfigError(
            f"the reference engine takes no {'=, '.join(settings)}=; numpy's threads are set in "
            "the environment, for example OMP_NUM_THREADS=1"
        )
    return ReferenceEngine(artifact)


def _native(artifact: Artifact, settings: dict[str, int]) -> Engine:
    engine: Engine = NativeEngine(artifact, **settings)  # type: ignore[arg-type]
    return engine


_ENGINES: dict[str, Callable[[Artifact, dict[str, int]], Engine]] = {
    "native": _native,
    "reference": _reference,
}
