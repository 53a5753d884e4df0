"""An artifact's engine in the form that the benchmark's worker processes load."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from lbwdet.deploy.runtime.artifact import Artifact, read_artifact
from lbwdet.deploy.runtime.native import NativeEngine
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine

Array = NDArray[Any]
NANOSECONDS = 1e9


class NativeBenchmark:
    """The native engine.

    Args:
        path: the artifact.
        threads: CPU threads.
        isa: instruction set; None: the CPU's best.
        input_size: height and width that every image is resized to; None: as the artifact says.
    """

    def __init__(
        self,
        path: str,
        threads: int,
        isa: str | None = None,
        input_size: Sequence[int] | None = None,
    ) -> None:
        artifact = with_input_size(read_artifact(path), input_size)
        self._dense = slice(1, len(artifact.program.dense))  # without preprocessing
        self._artifact, self._isa = artifact, isa
        self._engine = NativeEngine(artifact, threads, isa)

    def detect(self, image: Array) -> tuple[Array, Array, Array]:
        return self._engine.detect(image)

    def in_parallel(self, workers: int) -> list[Callable[[Array], object]]:
        """As many functions like :meth:`detect`, for a thread each."""
        return [NativeEngine(self._artifact, 1, self._isa).detect for _ in range(workers)]

    def dense(self, image: Array) -> float:
        """Seconds from the network's input to the maps of a dense head, within a full run."""
        self._engine.detect(image)
        costs = self._engine.profile()[self._dense]
        return sum(cost.nanoseconds for cost in costs) / NANOSECONDS

    def profile(self, image: Array) -> list[dict[str, Any]]:
        self._engine.detect(image)
        return [dataclasses.asdict(cost) for cost in self._engine.profile()]


class ReferenceBenchmark:
    """The reference engine: numpy, for accuracy, not for speed. Arguments as above."""

    def __init__(self, path: str, input_size: Sequence[int] | None = None) -> None:
        self._engine = ReferenceEngine(with_input_size(read_artifact(path), input_size))

    def detect(self, image: Array) -> tuple[Array, Array, Array]:
        return self._engine.detect(image)


def with_input_size(artifact: Artifact, size: Sequence[int] | None) -> Artifact:
    """The artifact with its preprocessing set to resize every image to ``size`` (height, width)."""
    if size is None:
        return artifact
    first, *rest = artifact.program.operations
    assert isinstance(first, Preprocess)
    resized = dataclasses.replace(first, size=(size[1], size[0]), keep_ratio=False)
    program = dataclasses.replace(artifact.program, operations=(resized, *rest))
    return dataclasses.replace(artifact, program=program)
