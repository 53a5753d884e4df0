"""A whole detector as one graph in another engine, as the benchmark's worker processes load it.

Resizing is OpenCV's; all else, suppression and the cutting out of regions included, is the graph.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np

from lbwdet.benchmark.network_input import NetworkInput
from lbwdet.benchmark.runners import LANES, LOAD, Run

Array = np.ndarray


class WholeBenchmark:
    """One graph, from the network's input to boxes.

    Args:
        engine: ``'onnxruntime'`` or ``'openvino'``.
        graph: a file of that engine.
        threads: CPU threads.
        preprocess, input_size: of :class:`NetworkInput`.
    """

    def __init__(
        self,
        engine: str,
        graph: str,
        threads: int,
        preprocess: Mapping[str, Any],
        input_size: Sequence[int] | None = None,
    ) -> None:
        cv2.setNumThreads(threads)
        self._input = NetworkInput(preprocess, input_size)
        self._engine, self._graph = engine, graph
        self._run = LOAD[engine](graph, threads)

    def detect(self, image: Array) -> tuple[Array, Array, Array]:
        return self._detect(self._run, image)

    def in_parallel(self, workers: int) -> list[Callable[[Array], object]]:
        """As many functions like :meth:`detect`, for a thread each."""
        cv2.setNumThreads(1)
        lanes = LANES[self._engine](self._graph, workers)
        return [partial(self._detect, run) for run in lanes]

    def _detect(self, run: Run, image: Array) -> tuple[Array, Array, Array]:
        boxes, scores, labels = run(*self._input(image))
        return boxes, scores, labels
