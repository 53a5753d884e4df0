"""The float detector in MMDetection itself, and with its graphs run by other engines.

Another engine runs every convolution and matrix product: one graph from the network's input to
the maps that boxes are made from (the head's ``dense``, which deployment traces, too), and one for
the second stage (its ``region``), where there is one. Proposals, RoIAlign, decoding and suppression
stay MMDetection's own.
"""

import copy
import time
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from lbwdet.benchmark.runners import LOAD
from lbwdet.configs import class_name, load_config
from lbwdet.deploy.lower import head_of
from lbwdet.errors import ConfigError
from lbwdet.measuring.candidates import TorchCandidate
from lbwdet.measuring.detectors import test_dataset

Array = np.ndarray


class TorchBenchmark:
    """MMDetection, eager float32.

    Args:
        config, checkpoint: of the float detector; no checkpoint: random weights.
        threads: CPU threads.
        input_size: height and width that every image is resized to; None: as the config says.
        cfg_options: overrides of the config.
    """

    def __init__(
        self,
        config: str,
        checkpoint: str | None,
        threads: int,
        input_size: Sequence[int] | None = None,
        cfg_options: Mapping[str, Any] | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        cfg = load_config(config, cfg_options)
        if input_size is not None:
            set_input_size(cfg, input_size)
        self.candidate = TorchCandidate("torch", cfg, checkpoint, config)
        self.model: Any = self.candidate.model

    def detect(self, image: Array) -> tuple[Array, Array, Array]:
        found = self.candidate.detect(image)
        return found.boxes, found.scores, found.labels

    @torch.no_grad()
    def dense(self, image: Array) -> float:
        """Seconds from the network's input to the maps that boxes are made from."""
        inputs = self.candidate.network_input(image)
        start = time.perf_counter()
        head_of(self.model).dense(self.model, inputs)
        return time.perf_counter() - start


class GraphBenchmark(TorchBenchmark):
    """As :class:`TorchBenchmark`, with both graphs in another engine.

    Args:
        engine: ``'onnxruntime'``, ``'openvino'`` or ``'ncnn'``.
        dense_graph, head_graph: files of that engine; R-FCN has no ``head_graph``.
    """

    def __init__(
        self, engine: str, dense_graph: str, head_graph: str | None = None, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        load = LOAD[engine]
        self._dense = load(dense_graph, arguments["threads"])
        self._maps: list[Tensor] = []
        model = self.model
        # What the graphs replace must not cost memory or time.
        model.backbone = model.neck = None
        model.extract_feat = self._extract
        first = getattr(model, "rpn_head", None) or model.bbox_head
        self._levels = len(first.prior_generator.strides)
        first.forward = lambda _: self._of_levels()
        if head_graph is not None:
            self._head = load(head_graph, arguments["threads"])
            model.roi_head.bbox_head.forward = self._classify
        elif first is not getattr(model, "bbox_head", None):  # R-FCN: regions are only pooled
            model.roi_head.bbox_head.score_maps = lambda _: self._regions()

    def dense(self, image: Array) -> float:
        inputs = self.candidate.network_input(image).numpy()
        start = time.perf_counter()
        self._dense(inputs)
        return time.perf_counter() - start

    def _extract(self, inputs: Tensor) -> tuple[Tensor, ...]:
        self._maps = [torch.from_numpy(array) for array in self._dense(inputs.numpy())]
        return self._regions()

    def _regions(self) -> tuple[Tensor, ...]:
        """What regions are cut from: all but the proposal head's scores and deltas."""
        return tuple(self._maps[: -2 * self._levels])

    def _of_levels(self) -> tuple[list[Tensor], ...]:
        """What the first head returns: a list of all levels for each kind of map."""
        count = self._levels
        maps = self._maps[-2 * count :] if hasattr(self.model, "rpn_head") else self._maps
        return tuple(maps[first : first + count] for first in range(0, len(maps), count))

    def _classify(self, features: Tensor) -> tuple[Tensor, Tensor]:
        scores, deltas = self._head(features.numpy())
        return torch.from_numpy(scores), torch.from_numpy(deltas)


def set_input_size(cfg: Any, size: Sequence[int]) -> None:
    """Makes the test pipeline resize every image to ``size`` (height, width), not keeping ratio."""
    pipeline = copy.deepcopy(test_dataset(cfg)["pipeline"])
    resizes = [step for step in pipeline if class_name(step["type"]).endswith("Resize")]
    if len(resizes) != 1:
        raise ConfigError(f"{cfg.filename}: the test pipeline has {len(resizes)} Resize, not one")
    resizes[0].pop("scale_factor", None)
    resizes[0].update(type="Resize", scale=(size[1], size[0]), keep_ratio=False)
    test_dataset(cfg)["pipeline"] = pipeline
