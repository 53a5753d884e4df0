"""Artifact to ONNX model."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import onnx
from onnx import TensorProto

from lbwdet import __version__
from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.context import LayerNumbers
from lbwdet.deploy.runtime.declaration import roles
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.shapes import Shapes, Value
from lbwdet.errors import ConfigError
from lbwdet.files import atomic_write

PARTS = ("detector", "network", "dense")


def export_onnx(
    artifact: Artifact,
    out: str | os.PathLike[str],
    part: str = "detector",
    float_activations: bool = False,
    layers: Mapping[str, LayerNumbers] | None = None,
) -> onnx.ModelProto:
    """Writes an ONNX model (opset 17, standard operators only) and checks it.

    Args:
        artifact: what to export; values of a program that is not calibrated stay float32.
        out: the file to write.
        part: ``'detector'``: ``image`` uint8 [H, W, 3] (BGR, any size) to ``boxes`` float32
            [n, 4] in its pixels, ``scores`` float32 [n], ``labels`` int64 [n].
            ``'network'``: all but preprocessing: ``image`` float32 [1, 3, h, w], normalized, sides
            multiples of the metadata's ``size_divisor``; ``size`` float32 [2], width and height
            that boxes are clipped to; ``factor`` float32 [2], how much wider and higher the given
            image is than the resized one. To ``boxes``, ``scores``, ``labels`` as above.
            ``'dense'``: only the operations on the whole image: ``image`` float32
            [1, 3, h, w] as above, to the maps that boxes and regions are read from, float32
            [1, c, h, w], under their names.
        float_activations: leave activations in float32.
        layers: numbers of the layers: integers become int8 weights, reals float32 ones; None: the
            integers that the engines multiply by.

    Raises:
        ConfigError: no such part, an operation that ONNX export does not know, or ``out`` cannot
            be written.
    """
    if part not in PARTS:
        raise ConfigError(f"part={part!r} is not known; choose from {', '.join(PARTS)}")
    program = artifact.program
    if layers is None:
        layers = {name: LayerNumbers.integer(weight) for name, weight in artifact.weights.items()}
    quantizations = {} if float_activations else program.quantizations
    values = Values(Graph(), quantizations, layers, shapes_of(artifact))
    if part == "detector":
        _append(program.operations, values)
    elif part == "network":
        _append_network(program, values)
    else:
        _append_dense(program, values)
    model = values.graph.model(_metadata(artifact, part, bool(quantizations)))
    try:
        with atomic_write(out) as path:
            onnx.save(model, str(path))
    except OSError as error:
        raise ConfigError(f"{os.fspath(out)} cannot be written: {error.strerror}") from error
    return model


def dense_outputs(program: Program) -> tuple[str, ...]:
    """The values of the dense part that the operations behind it read."""
    written = {operation.written for operation in program.dense}
    others = program.operations[len(program.dense) :]
    read = dict.fromkeys(name for operation in others for name, _ in operation.reads())
    return tuple(name for name in read if name in written)


def shapes_of(artifact: Artifact) -> dict[str, Value]:
    """Kinds and sizes of a program's values, whether it is calibrated or not."""
    operations = artifact.program.operations
    every = {operation.written: Quantization(1.0) for operation in operations}
    shapes = Shapes(every | artifact.program.quantizations, artifact.weights)
    for operation in operations:
        value = operation.infer(shapes)
        if value is not None:
            shapes.values[operation.written] = value
    return shapes.values


def _append(operations: tuple[Operation, ...], values: Values) -> None:
    for operation in operations:
        values.graph.note = operation.title
        try:
            tensor = export(operation, values)
        except ConfigError as error:
            raise ConfigError(f"{operation.title}: {error}") from error
        if tensor is not None:
            values.tensors[operation.written] = tensor


def _append_network(program: Program, values: Values) -> None:
    _append_input(program, values)
    for name in ("size", "factor"):
        values.graph.input(name, TensorProto.FLOAT, [2])
    values.size, values.factor = "size", "factor"
    _append(program.operations[1:], values)


def _append_input(program: Program, values: Values) -> None:
    first = program.operations[0]
    values.graph.input("image", TensorProto.FLOAT, [1, 3, "height", "width"])
    values.tensors[first.written] = values.quantize(first.written, "image")


def _append_dense(program: Program, values: Values) -> None:
    first, *operations = program.dense
    _append_input(program, values)
    _append(tuple(operations), values)
    for name in dense_outputs(program):
        if name == first.written:
            continue  # the model's input
        shape: list[int | str] = [1, f"{name}_channels", f"{name}_height", f"{name}_width"]
        values.graph.output(name, TensorProto.FLOAT, shape, values.read(name))


def _metadata(artifact: Artifact, part: str, quantized: bool) -> dict[str, str]:
    """What the model is, and the settings of its preprocessing."""
    first = artifact.program.operations[0]
    names = {field for field, _, _ in roles(first)}
    settings = {name: entry for name, entry in asdict(first).items() if name not in names}
    entries: dict[str, Any] = dict(
        lbwdet=__version__,
        part=part,
        activations="uint8" if quantized else "float32",
        classes=artifact.classes,
        **settings,
    )
    return {name: json.dumps(entry) for name, entry in entries.items()}
