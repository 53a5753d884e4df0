"""Both engines run every graph; and operations' examples as models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import openvino
import pytest
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime import context
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.shapes import Map, Side

Run = Callable[..., list[np.ndarray]]


def _onnxruntime(model: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, inputs)


def _openvino(model: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    # bfloat16 would be its choice on some processors
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", settings)
    found = compiled(inputs)
    return [np.asarray(found[output.name]) for output in model.graph.output]


ENGINES = {"onnxruntime": _onnxruntime, "openvino": _openvino}


@pytest.fixture(params=ENGINES.values(), ids=list(ENGINES))
def run(request: pytest.FixtureRequest) -> Run:
    """Outputs of an ONNX model for inputs by name."""
    return request.param


@pytest.fixture(scope="session")
def engines() -> dict[str, Run]:
    return ENGINES


@dataclass
class Case:
    """An example as a model, what to give it, and what comes out of ``compute``.

    Attributes:
        found: outputs of an engine, with the reference's axes.
    """

    model: Any
    inputs: dict[str, np.ndarray]
    expected: tuple[np.ndarray, ...]

    def found(self, run: Run) -> list[np.ndarray]:
        return [
            value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
            for value in run(self.model, self.inputs)
        ]


def _case(example: Example, real: bool = False) -> Case:
    operation, quantizations, values = example.operation, example.quantizations, example.values
    if real:
        values = {
            name: (value - np.float32(quantizations[name].zero_point)) * quantizations[name].scale
            if name in quantizations
            else value
            for name, value in values.items()
        }
        values = {name: value.astype(np.float32) for name, value in values.items()}
        quantizations = {}
    numbers = context.LayerNumbers.real if real else context.LayerNumbers.integer
    layers = {name: numbers(weight) for name, weight in example.weights.items()}

    reference = context.Run(quantizations, layers, example.image)
    reference.resized = reference.bounds = example.resized or reference.resized
    reference.values = dict(values)
    expected = operation.compute(reference)

    shapes = {
        name: Map(value.shape[3], Side(0, value.shape[1]), Side(0, value.shape[2]))
        for name, value in values.items()
        if value.ndim == 4
    }
    graph = Graph()
    exported = Values(graph, quantizations, layers, shapes)
    height, width = reference.resized
    exported.size = graph.constant(np.array([width, height], np.float32))
    factor = np.array([example.image.shape[1] / width, example.image.shape[0] / height])
    exported.factor = graph.constant(factor.astype(np.float32))
    inputs = {}
    for name, value in values.items():
        tensor = inputs[name] = value.transpose(0, 3, 1, 2) if value.ndim == 4 else value
        axes = [f"{name}_{axis}" for axis in range(value.ndim)]
        graph.input(name, _kind(tensor), [axes[0], tensor.shape[1], *axes[2:]])
        exported.tensors[name] = name
    found = export(operation, exported)
    if found is not None:
        graph.output(
            "out", _kind(expected), [f"out_{axis}" for axis in range(expected.ndim)], found
        )
    model = graph.model({})
    if any(value.name == "image" for value in model.graph.input):
        inputs["image"] = example.image
    return Case(model, inputs, expected if isinstance(expected, tuple) else (expected,))


def _kind(value: np.ndarray) -> int:
    return TensorProto.UINT8 if value.dtype == np.uint8 else TensorProto.FLOAT


@pytest.fixture(scope="session")
def case() -> Callable[..., Case]:
    """An operation's example as a model; with ``real=True``, before calibration."""
    return _case
