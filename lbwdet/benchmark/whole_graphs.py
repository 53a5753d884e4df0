"""The float detector as one graph, with suppression and all, in the files of other engines.

It is the project's own program of the float detector, with the weights of the checkpoint.
"""

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lbwdet.benchmark.int8 import quantize_onnx, quantize_openvino
from lbwdet.benchmark.network_input import NetworkInput
from lbwdet.benchmark.process import EngineSpec
from lbwdet.benchmark.settings import Bench
from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.declaration import Kind
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.measuring.detectors import build_detector, test_dataset

Array = np.ndarray
MODULE = "lbwdet.benchmark.whole_engine"
INPUTS = ("image", "size", "factor")
# In the names of rows. NNCF's presets: with a zero point for activations, which all but ReLU need
# for their accuracy; and without, which may be faster.
PRECISIONS = {
    "onnxruntime": ("fp32", "int8"),
    "openvino": ("fp32", "int8", "int8-performance"),
}


@dataclasses.dataclass(frozen=True)
class Network:
    """The float detector as an ONNX model, ``part='network'``.

    Attributes:
        path: the model.
        preprocess: fields of the operation in front of it.
        of_boxes: names of the nodes that compute boxes and scores from the network's maps.
    """

    path: Path
    preprocess: dict[str, Any]
    of_boxes: list[str]


class WholeGraphs:
    """Writes the graphs that are asked for.

    Args:
        bench: what is wanted.
        images: for the engines' int8.
    """

    def __init__(self, bench: Bench, images: Sequence[Array]) -> None:
        self._bench = bench
        self._images = images
        self._folder = bench.folder / "graphs" / "whole"

    def specs(self, engine: str) -> Iterator[EngineSpec]:
        """How to load each of an engine's; why not, of those that cannot be, is noted.

        Args:
            engine: ``'onnxruntime'`` or ``'openvino'``.
        """
        for precision in PRECISIONS[engine]:
            name = f"{engine}-{precision}-whole"
            try:
                # The quantizers draw progress bars of their own and talk a lot.
                with contextlib.redirect_stdout(io.StringIO()):
                    graph = dict(onnxruntime=self._onnx, openvino=self._openvino)[engine](precision)
            except Exception as error:  # whatever another project's converter does not like
                self._bench.unavailable[name] = _in_one_line(error)
                continue
            arguments = dict(
                engine=engine,
                graph=str(graph),
                threads=self._bench.settings.num_threads,
                preprocess=self._network.preprocess,
                input_size=self._bench.settings.input_size,
            )
            kind = dict(dense=False, parallel=True)
            yield EngineSpec(name, MODULE, "WholeBenchmark", arguments, **kind, files=_files(graph))

    @cached_property
    def _network(self) -> Network:
        return write_network(self._bench, self._folder)

    @cached_property
    def _inputs(self) -> list[dict[str, Array]]:
        read = NetworkInput(self._network.preprocess, self._bench.settings.input_size)
        return [
            {name: array.copy() for name, array in zip(INPUTS, read(image), strict=True)}
            for image in self._images
        ]

    def _onnx(self, precision: str) -> Path:
        network = self._network
        if precision == "fp32":
            return network.path
        path = self._folder / "onnxruntime-int8.onnx"
        quantize_onnx(network.path, path, self._inputs, network.of_boxes)
        return path

    def _openvino(self, precision: str) -> Path:
        import openvino

        # Not read_model: the converter joins what its quantizer wants to see as one.
        model = openvino.convert_model(str(self._network.path))
        if precision != "fp32":
            _, _, preset = precision.partition("-")
            # Its quantizer runs parts of the graph, and some of them at one size only.
            size, inputs = _of_one_size(self._inputs)
            model.reshape({0: list(size)})
            model = quantize_openvino(model, inputs, preset or "mixed")
            model.reshape({0: [1, 3, -1, -1]})
        path = self._folder / f"openvino-{precision}.xml"
        openvino.save_model(model, str(path), compress_to_fp16=False)
        return path


def _files(graph: Path) -> tuple[str, ...]:
    """The graph's, and that of its weights where these are apart."""
    weights = graph.with_suffix(".bin")
    return tuple(str(path) for path in (graph, weights) if path == graph or path.exists())


def _in_one_line(error: Exception) -> str:
    """With what is said last, which OpenVINO puts behind the places that it came through."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    text = lines[0] if len(lines) == 1 else f"{lines[0]} ... {lines[-1]}"
    return f"{type(error).__name__}: {text}"


def _of_one_size(
    inputs: Sequence[dict[str, Array]],
) -> tuple[tuple[int, ...], list[dict[str, Array]]]:
    """The shape that most images have, and the inputs of these."""
    shapes = [each["image"].shape for each in inputs]
    shape = max(shapes, key=shapes.count)
    return shape, [each for each in inputs if each["image"].shape == shape]


def write_network(bench: Bench, folder: Path) -> Network:
    """Lowers the float detector of the settings and writes ``network.onnx``.

    Raises:
        ConfigError: what cannot be lowered, or exported.
    """
    from lbwdet.deploy.onnx.export import export_onnx

    settings = bench.settings
    assert settings.config is not None
    cfg = settings.load_config(settings.config)
    model: Any = build_detector(cfg, settings.checkpoint)
    lowered = lower(model, test_dataset(cfg)["pipeline"], boxes_only=True)
    classes = lowered.classes or tuple(model.dataset_meta["classes"])
    artifact = Artifact(lowered.program, lowered.weights, classes, {})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "network.onnx"
    written = export_onnx(artifact, path, "network", layers=lowered.numbers())
    first, *operations = lowered.program.operations
    titles = {operation.title for operation in operations if _of_boxes(operation)}
    nodes = [node.name for node in written.graph.node if node.doc_string in titles]
    return Network(path, dataclasses.asdict(first), nodes)


def _of_boxes(operation: Operation) -> bool:
    """Whether it reads or writes boxes, or candidates, or writes the result."""
    read = [role.kind for _, role in operation.reads()]
    written = [role.kind for _, role in operation.writes()]
    return not written or any(kind not in Kind.MAP for kind in (*read, *written))
