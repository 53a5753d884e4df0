"""Runs a program operation by operation, as each computes itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.context import LayerNumbers, Run
from lbwdet.deploy.runtime.image import check_image
from lbwdet.deploy.runtime.program import Program
from lbwdet.errors import ConfigError

Array = NDArray[Any]
Found = tuple[Any, ...]
Observer = Callable[[str, Array], None]


class ReferenceEngine:
    """The artifact in numpy: every integer and every rounding as the operations define them."""

    def __init__(self, artifact: Artifact) -> None:
        self._program = artifact.program
        self._layers = {
            name: LayerNumbers.integer(weight) for name, weight in artifact.weights.items()
        }

    def detect(self, image: Array) -> tuple[Array, Array, Array]:
        """Detections in one image.

        Args:
            image: uint8 [H, W, 3], channels in the order blue, green, red.

        Returns:
            boxes float32 [n, 4] in pixels of ``image``, scores float32 [n], labels
            int64 [n]; best first.
        """
        boxes, scores, labels = self.instances(image)[:3]
        return boxes, scores, labels

    def instances(self, image: Array) -> Found:
        """As :meth:`detect`, and, of a program with masks, their runs: a tuple of uint32."""
        return self.run(image)[1]

    def run(self, image: Array) -> tuple[dict[str, Array], Found]:
        """Every value of one image, by name, and what :meth:`instances` gives."""
        return run_program(self._program, self._layers, check_image(image))

    def values(self, image: Array, names: Sequence[str]) -> dict[str, Array]:
        """Intermediate values of one image, by name.

        Raises:
            ConfigError: the program has no value of that name.
        """
        known = [operation.written for operation in self._program.operations if operation.written]
        if unknown := sorted(set(names) - set(known)):
            raise ConfigError(
                f"no value is called {', '.join(unknown)}; there are {', '.join(known)}"
            )
        values, _ = self.run(image)
        return {name: values[name] for name in names}


def run_program(
    program: Program,
    layers: Mapping[str, LayerNumbers],
    image: Array,
    observe: Observer | None = None,
    convolve: Callable[..., Array] | None = None,
) -> tuple[dict[str, Array], Found]:
    """Every value of a program, and its detections: boxes, scores, labels, runs of masks if any.

    Args:
        program: values that its ``quantizations`` do not name stay in reals.
        layers: the numbers of its layers.
        image: uint8 [H, W, 3].
        observe: called with every value's name and the value, as soon as it is there.
        convolve: see :class:`~lbwdet.deploy.runtime.context.Run`.
    """
    run = Run(program.quantizations, layers, image, convolve)
    found: Found = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    for operation in program.operations:
        # Boxes of a hostile program may be infinite: what comes of them is defined, and no news.
        with np.errstate(all="ignore"):
            result = operation.compute(run)
        if not operation.written:
            found = result
            continue
        run.values[operation.written] = result
        if observe is not None:
            observe(operation.written, result)
    return run.values, found
