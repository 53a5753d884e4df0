"""The float detector in MMDetection itself, and with its graphs run by other engines.

Another engine runs every convolution and matrix product: one graph from the network's input to
the proposal head's maps and those that regions are cut from (the dense part), and one for the
box head, which R-FCN does without. Proposals, RoIAlign, decoding and suppression stay
MMDetection's own.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lbwdet.configs import load_config
from lbwdet.errors import ConfigError
from lbwdet.measuring.candidates import TorchCandidate
from lbwdet.measuring.detectors import test_dataset
from lbwdet.models.rfcn import RFCNRoIHead

Array = np.ndarray
Run = Callable[[Array], list[Array]]


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
        """Seconds from the network's input to the proposal head's maps."""
        inputs = self.candidate.network_input(image)
        start = time.perf_counter()
        DensePart(self.model)(inputs)
        return time.perf_counter() - start


class GraphBenchmark(TorchBenchmark):
    """As :class:`TorchBenchmark`, with both graphs in another engine.

    Args:
        engine: ``'onnxruntime'`` or ``'openvino'``.
        dense_graph, head_graph: files of that engine; R-FCN has no ``head_graph``.
    """

    def __init__(
        self, engine: str, dense_graph: str, head_graph: str | None = None, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        load = dict(onnxruntime=_load_onnxruntime, openvino=_load_openvino)[engine]
        self._dense = load(dense_graph, arguments["threads"])
        self._levels = len(self.model.rpn_head.anchor_generator.strides)
        self._maps: list[Tensor] = []
        model = self.model
        # What the graphs replace must not cost memory or time.
        model.backbone = model.neck = None
        model.extract_feat = self._extract
        model.rpn_head.forward = lambda _: (
            self._maps[-2 * self._levels : -self._levels],
            self._maps[-self._levels :],
        )
        if head_graph is None:
            model.roi_head.bbox_head.score_maps = lambda _: self._regions()
        else:
            self._head = load(head_graph, arguments["threads"])
            model.roi_head.bbox_head.forward = self._classify

    def dense(self, image: Array) -> float:
        inputs = self.candidate.network_input(image).numpy()
        start = time.perf_counter()
        self._dense(inputs)
        return time.perf_counter() - start

    def _extract(self, inputs: Tensor) -> tuple[Tensor, ...]:
        self._maps = [torch.from_numpy(array) for array in self._dense(inputs.numpy())]
        return self._regions()

    def _regions(self) -> tuple[Tensor, ...]:
        """What regions are cut from."""
        return tuple(self._maps[: -2 * self._levels])

    def _classify(self, features: Tensor) -> tuple[Tensor, Tensor]:
        scores, deltas = self._head(features.numpy())
        return torch.from_numpy(scores), torch.from_numpy(deltas)


def has_box_head(model: Any) -> bool:
    """Whether regions go through a network of their own; R-FCN's are only pooled."""
    return not isinstance(model.roi_head, RFCNRoIHead)


class DensePart(nn.Module):
    """Network input [1, 3, h, w] to the maps of regions, then the proposal head's maps.

    Regions are cut from the pyramid's levels, or from R-FCN's score maps. The
    proposal head's maps are the scores of all levels, then the deltas of all levels.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.backbone, self.rpn_head = model.backbone, model.rpn_head
        self.neck = getattr(model, "neck", None)
        self.score_head = None if has_box_head(model) else model.roi_head.bbox_head

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        features = self.backbone(inputs)
        if self.neck is not None:
            features = self.neck(features)
        scores, deltas = self.rpn_head(features)
        if self.score_head is not None:
            features = self.score_head.score_maps(features[-1])
        return (*features, *scores, *deltas)


class BoxHead(nn.Module):
    """Features of boxes [n, c, 7, 7] to class scores and box deltas."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.head = model.roi_head.bbox_head

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        scores, deltas = self.head(features)
        return scores, deltas


def set_input_size(cfg: Any, size: Sequence[int]) -> None:
    """Makes the test pipeline resize every image to ``size`` (height, width), not keeping ratio."""
    pipeline = copy.deepcopy(test_dataset(cfg)["pipeline"])
    resizes = [step for step in pipeline if str(step["type"]).endswith("Resize")]
    if len(resizes) != 1:
        raise ConfigError(f"{cfg.filename}: the test pipeline has {len(resizes)} Resize, not one")
    resizes[0].update(type="Resize", scale=(size[1], size[0]), keep_ratio=False)
    test_dataset(cfg)["pipeline"] = pipeline


def _load_onnxruntime(path: str, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda array: session.run(None, {name: np.ascontiguousarray(array)})


def _load_openvino(path: str, threads: int) -> Run:
    import openvino

    core = openvino.Core()
    model = core.read_model(Path(path))
    settings = dict(INFERENCE_NUM_THREADS=threads, NUM_STREAMS=1, PERFORMANCE_HINT="LATENCY")
    settings["INFERENCE_PRECISION_HINT"] = "f32"  # no silent bfloat16
    compiled: dict[tuple[int, ...], Any] = {}

    def run(array: Array) -> list[Array]:
        # Compiled per size, as this engine is fastest; the number of boxes stays free.
        free = array.shape if array.shape[1] == 3 else (-1, *array.shape[1:])
        if free not in compiled:
            model.reshape({0: list(free)})
            compiled[free] = core.compile_model(model, "CPU", settings).create_infer_request()
        request = compiled[free]
        results = request.infer([np.ascontiguousarray(array)], share_inputs=True)
        return [np.array(results[index]) for index in range(len(results))]

    return run
