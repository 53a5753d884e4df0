"""Runs a program operation by operation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.operations import (
    Conv,
    Detections,
    MaxPool,
    Operation,
    Preprocess,
    Proposals,
    PSRoIAlign,
    Requantize,
    RoIAlign,
)
from lbwdet.deploy.runtime.reference.convolution import conv
from lbwdet.deploy.runtime.reference.detections import detections
from lbwdet.deploy.runtime.reference.pooling import max_pool
from lbwdet.deploy.runtime.reference.preprocess import preprocess, resized_shape
from lbwdet.deploy.runtime.reference.proposals import proposals
from lbwdet.deploy.runtime.reference.ps_roi_align import ps_roi_align
from lbwdet.deploy.runtime.reference.roi_align import roi_align
from lbwdet.deploy.runtime.requantize_table import requantize_table
from lbwdet.errors import ConfigError

Array = NDArray[Any]
Found = tuple[Array, Array, Array]


class ReferenceEngine:
    """The artifact in numpy: every integer and every rounding as the operations define them."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        self._integers = {name: weight.integers() for name, weight in artifact.weights.items()}
        self._outputs = [_output(operation) for operation in artifact.program.operations]

    def detect(self, image: Array) -> Found:
        """Detections in one image.

        Args:
            image: uint8 [H, W, 3], channels in the order blue, green, red.

        Returns:
            boxes float32 [n, 4] in pixels of ``image``, scores float32 [n], labels
            int64 [n]; best first.
        """
        return self._run(image, ())[1]

    def values(self, image: Array, names: Sequence[str]) -> dict[str, Array]:
        """Intermediate values of one image, by name.

        Raises:
            ConfigError: the program has no value of that name.
        """
        unknown = sorted(set(names) - set(self._outputs))
        if unknown:
            known = ", ".join(filter(None, self._outputs))
            raise ConfigError(f"no value is called {', '.join(unknown)}; there are {known}")
        return self._run(image, names)[0]

    def _run(self, image: Array, wanted: Sequence[str]) -> tuple[dict[str, Array], Found]:
        values: dict[str, Array] = {}
        found: Found = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
        for operation, output in zip(self._artifact.program.operations, self._outputs, strict=True):
            result = self._execute(operation, values, image)
            if isinstance(result, tuple):
                found = result
            else:
                values[output] = result
        return {name: values[name] for name in wanted}, found

    def _execute(self, operation: Operation, values: dict[str, Array], image: Array) -> Any:
        quantizations = self._artifact.program.quantizations
        first = self._artifact.program.operations[0]
        assert isinstance(first, Preprocess)
        shape = resized_shape(first, *image.shape[:2])
        match operation:
            case Preprocess():
                return preprocess(operation, quantizations[operation.output], image)
            case Conv():
                weight = self._artifact.weights[operation.layer]
                integers = self._integers[operation.layer]
                return conv(operation, weight, integers, quantizations, values)
            case MaxPool():
                return max_pool(operation, values[operation.input])
            case Requantize():
                ends = quantizations[operation.input], quantizations[operation.output]
                return requantize_table(*ends)[values[operation.input]]
            case Proposals():
                scores = [values[name] for name in operation.scores]
                deltas = [values[name] for name in operation.deltas]
                return proposals(operation, scores, deltas, shape)
            case RoIAlign():
                maps = [values[name] for name in operation.inputs]
                return roi_align(operation, maps, values[operation.boxes], quantizations)
            case PSRoIAlign():
                return ps_roi_align(operation, values[operation.input], values[operation.boxes])
            case Detections():
                heads = values[operation.scores], values[operation.deltas]
                boxes = values[operation.boxes]
                return detections(operation, *heads, boxes, shape, image.shape[:2])


def _output(operation: Operation) -> str:
    return "" if isinstance(operation, Detections) else operation.output
