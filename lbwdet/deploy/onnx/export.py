"""Artifact to ONNX model."""

import json
import os
from typing import Any

import onnx
from onnx import TensorProto

from lbwdet import __version__
from lbwdet.deploy.onnx.boxes import ImageSize, detections, proposals
from lbwdet.deploy.onnx.convolution import conv, max_pool
from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.preprocess import preprocess
from lbwdet.deploy.onnx.ps_roi_align import ps_roi_align
from lbwdet.deploy.onnx.roi_align import roi_align
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.operations import (
    Conv,
    Detections,
    MaxPool,
    Preprocess,
    Program,
    Proposals,
    PSRoIAlign,
    Requantize,
    RoIAlign,
)
from lbwdet.errors import ConfigError
from lbwdet.files import atomic_write

PARTS = ("detector", "dense")


def export_onnx(
    artifact: Artifact,
    out: str | os.PathLike[str],
    part: str = "detector",
    float_activations: bool = False,
) -> onnx.ModelProto:
    """Writes an ONNX model (opset 17, standard operators only) and checks it.

    Args:
        artifact: what to export.
        out: the file to write.
        part: ``'detector'``: ``image`` uint8 [H, W, 3] (BGR, any size) to ``boxes`` float32
            [n, 4] in its pixels, ``scores`` float32 [n], ``labels`` int64 [n].
            ``'dense'``: only the convolutions on the whole image: ``image`` float32
            [1, 3, h, w], normalized, sides multiples of the metadata's ``size_divisor``, to the
            maps that proposals and regions are read from, float32 [1, c, h, w], under their names.
        float_activations: leave activations in float32; weights are int8 in either case.

    Raises:
        ConfigError: no such part, or ``out`` cannot be written.
    """
    if part not in PARTS:
        raise ConfigError(f"part={part!r} is not known; choose from {', '.join(PARTS)}")
    program = artifact.program
    graph = Graph()
    values = Values(graph, {} if float_activations else program.quantizations)
    size = _begin(graph, program, part, values)
    for operation in program.operations[1:]:
        match operation:
            case Conv() if part == "detector" or operation.output in dense_values(program):
                conv(graph, operation, artifact.weights[operation.layer], values)
            case MaxPool():
                max_pool(graph, operation, values)
            case Requantize() if part == "detector" or operation.output in dense_values(program):
                values.requantize(operation.output, operation.input)
            case Proposals() if size:
                proposals(graph, operation, values, size)
            case RoIAlign() if size:
                roi_align(graph, operation, values)
            case PSRoIAlign() if size:
                ps_roi_align(graph, operation, values)
            case Detections() if size:
                _end(graph, *detections(graph, operation, values, size))
    if part == "dense":
        for name in dense_outputs(program):
            shape: list[int | str] = [1, f"{name}_channels", f"{name}_height", f"{name}_width"]
            graph.output(name, TensorProto.FLOAT, shape, values.read(name))
    model = graph.model(_metadata(artifact, part, float_activations))
    try:
        with atomic_write(out) as path:
            onnx.save(model, str(path))
    except OSError as error:
        raise ConfigError(f"{os.fspath(out)} cannot be written: {error.strerror}") from error
    return model


def dense_values(program: Program) -> set[str]:
    """Values that are computed on the whole image, before the first proposals."""
    names: set[str] = set()
    for operation in program.operations:
        if isinstance(operation, Proposals):
            break
        if not isinstance(operation, Detections):
            names.add(operation.output)
    return names


def dense_outputs(program: Program) -> list[str]:
    """Those of them that proposals, RoIAlign and PSRoIAlign read."""
    names: dict[str, None] = {}
    for operation in program.operations:
        if isinstance(operation, Proposals):
            names.update(dict.fromkeys((*operation.scores, *operation.deltas)))
        elif isinstance(operation, RoIAlign):
            names.update(dict.fromkeys(operation.inputs))
        elif isinstance(operation, PSRoIAlign):
            names[operation.input] = None
    return list(names)


def _begin(graph: Graph, program: Program, part: str, values: Values) -> ImageSize | None:
    first = program.operations[0]
    assert isinstance(first, Preprocess)  # artifacts are checked
    if part == "dense":
        graph.input("image", TensorProto.FLOAT, [1, 3, "height", "width"])
        values.write(first.output, "image")
        return None
    graph.input("image", TensorProto.UINT8, ["height", "width", 3])
    return preprocess(graph, first, values, "image")


def _end(graph: Graph, boxes: str, scores: str, labels: str) -> None:
    graph.output("boxes", TensorProto.FLOAT, ["detections", 4], boxes)
    graph.output("scores", TensorProto.FLOAT, ["detections"], scores)
    graph.output("labels", TensorProto.INT64, ["detections"], labels)


def _metadata(artifact: Artifact, part: str, float_activations: bool) -> dict[str, str]:
    first = artifact.program.operations[0]
    assert isinstance(first, Preprocess)
    entries: dict[str, Any] = dict(
        lbwdet=__version__,
        part=part,
        activations="float32" if float_activations else "uint8",
        classes=artifact.classes,
        size=first.size,
        keep_ratio=first.keep_ratio,
        mean=first.mean,
        std=first.std,
        to_rgb=first.to_rgb,
        size_divisor=first.size_divisor,
    )
    return {name: json.dumps(value) for name, value in entries.items()}
