"""What of a deployed program computes in float32, and how long that takes."""

from dataclasses import dataclass

import numpy as np

from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.native import Cost, NativeEngine
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.program import Program
from lbwdet.errors import LBWError


@dataclass(frozen=True)
class FloatPart:
    """An operation that computes in float32, as its class declares.

    Attributes:
        index: in the program.
        operation: its type.
        output: the value that it writes.
        computes: what of it is not in integers.
        share: of the time of an image, 0 to 1; None where nothing was measured.
    """

    index: int
    operation: str
    output: str
    computes: str
    share: float | None


def float_parts(program: Program, costs: list[Cost] | None) -> list[FloatPart]:
    """The operations that compute in float32, in order.

    Args:
        program: of an artifact.
        costs: of each operation, see :func:`measure`; or None.
    """
    total = sum(cost.nanoseconds for cost in costs or ()) or 1
    return [
        FloatPart(
            index,
            type(operation).__name__,
            operation.written,
            operation.in_float32(),
            None if costs is None else costs[index].nanoseconds / total,
        )
        for index, operation in enumerate(program.operations)
        if operation.in_float32()
    ]


def measure(artifact: Artifact) -> tuple[list[Cost] | None, str]:
    """Runs an artifact on one image of noise, twice, and measures the second run.

    Returns:
        Time and work of every operation, and in words what was measured; or None, and why the
        native engine does not run.
    """
    first = artifact.program.operations[0]
    assert isinstance(first, Preprocess)
    width, height = first.size
    try:
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        with NativeEngine(artifact) as engine:
            engine.detect(image)
            engine.detect(image)
            where = f"{engine.isa}, {engine.threads} thread{'s' if engine.threads > 1 else ''}"
            return engine.profile(), f"an image of noise, {width}x{height}, {where}"
    except (LBWError, MemoryError) as error:
        return None, f"not measured: {error}"
