"""Both engines run every graph."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import openvino
import pytest

Run = Callable[..., list[np.ndarray]]


def _onnxruntime(model: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, inputs)


def _openvino(model: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    # bfloat16 would be its choice on some processors
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", settings)
    found = compiled(inputs)
    return [np.asarray(found[output.name]) for output in model.graph.output]


@pytest.fixture(params=[_onnxruntime, _openvino], ids=["onnxruntime", "openvino"])
def run(request: pytest.FixtureRequest) -> Run:
    """Outputs of an ONNX model for inputs by name."""
    return request.param
