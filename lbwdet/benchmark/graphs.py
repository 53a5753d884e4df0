"""A float detector's graphs in the files of other engines, in float and in their own int8.

The int8 of an engine is what its own post-training quantizer makes of the float model.
"""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lbwdet.benchmark.int8 import quantize_onnx, quantize_openvino
from lbwdet.benchmark.ncnn_graphs import write_ncnn
from lbwdet.benchmark.peers import TorchBenchmark
from lbwdet.deploy.lower import RegionHead, head_of
from lbwdet.deploy.lower.one_stage import OneStage
from lbwdet.deploy.lower.trace import Part

Array = np.ndarray


def takes_maps(peer: TorchBenchmark) -> bool:
    """Whether MMDetection's head makes boxes of what ``dense`` returns; some compute more first."""
    head = head_of(peer.model)
    return not issubclass(head, OneStage) or head.dense is OneStage.dense


def calibration_inputs(peer: TorchBenchmark, images: Sequence[Array]) -> dict[str, list[Array]]:
    """For some images the inputs of each graph: ``dense`` [1, 3, h, w], ``head`` [n, c, 7, 7].

    R-FCN has no ``head``.
    """
    inputs: dict[str, list[Array]] = dict(dense=[])

    def keep(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        inputs["head"].append(arguments[0].numpy().copy())

    with contextlib.ExitStack() as hooks:
        if issubclass(head_of(peer.model), RegionHead):
            inputs["head"] = []
            box_head = peer.model.roi_head.bbox_head
            hooks.callback(box_head.register_forward_pre_hook(keep).remove)
        for image in images:
            inputs["dense"].append(peer.candidate.network_input(image).numpy().copy())
            peer.detect(image)
    return inputs


def make_graphs(
    engine: str, precision: str, peer: TorchBenchmark, inputs: dict[str, list[Array]], folder: Path
) -> dict[str, str]:
    """Writes the graphs of one engine and precision; returns ``dense_graph``, ``head_graph``.

    Args:
        engine: ``'onnxruntime'``, ``'openvino'`` or ``'ncnn'``.
        precision: ``'fp32'`` or ``'int8'``.
        peer: the float detector.
        inputs: of :func:`calibration_inputs`.
        folder: where the files go.

    Raises:
        ImportError: the engine, or its quantizer, is not installed.
        RuntimeError: the engine cannot run such a graph.
    """
    folder.mkdir(parents=True, exist_ok=True)
    head: Any = head_of(peer.model)
    write = dict(onnxruntime=_write_onnx, openvino=_write_openvino, ncnn=write_ncnn)[engine]
    # The quantizers draw progress bars of their own and talk a lot.
    with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        graphs = {}
        for part, arrays in inputs.items():
            module = Part(peer.model, head.dense if part == "dense" else head.region).eval()
            graphs[f"{part}_graph"] = str(write(part, module, precision, arrays, folder))
        return graphs


def _write_onnx(
    part: str, module: nn.Module, precision: str, inputs: Sequence[Array], folder: Path
) -> Path:
    import onnxruntime  # noqa: F401  (its absence should show here)

    path = folder / f"{part}-fp32.onnx"
    if precision == "fp32" or not path.exists():  # which comes first, and is of this detector
        path.unlink(missing_ok=True)
        free = {2: "height", 3: "width"} if part == "dense" else {0: "boxes"}
        torch.onnx.export(
            module,
            (torch.from_numpy(inputs[0]),),
            str(path),
            input_names=["input"],
            dynamic_axes=dict(input=free),
            opset_version=17,
            dynamo=False,
        )
    if precision == "fp32":
        return path
    quantized = folder / f"{part}-int8.onnx"
    quantize_onnx(path, quantized, [dict(input=array) for array in inputs])
    return quantized


def _write_openvino(
    part: str, module: nn.Module, precision: str, inputs: Sequence[Array], folder: Path
) -> Path:
    import openvino

    free = [1, 3, -1, -1] if part == "dense" else [-1, *inputs[0].shape[1:]]
    model: Any = openvino.convert_model(
        module, example_input=torch.from_numpy(inputs[0]), input=[free]
    )
    path = folder / f"{part}-{precision}.xml"
    if precision == "int8":
        model = quantize_openvino(model, inputs)
    openvino.save_model(model, str(path), compress_to_fp16=False)
    return path
