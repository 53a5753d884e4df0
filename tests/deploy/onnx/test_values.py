import numpy as np
import pytest
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.values import CEIL_MARGIN, Values
from lbwdet.deploy.runtime.context import rounded
from lbwdet.deploy.runtime.quantization import Quantization

SCALE = 0.25  # quotients are exact


@pytest.mark.parametrize(
    "quantization",
    [
        Quantization(SCALE),
        Quantization(SCALE, 100),
        Quantization(SCALE, 0, 15, "ceil"),
        Quantization(SCALE, 20, 200, "ceil"),
    ],
    ids=str,
)
def test_stored_and_read(run, quantization):
    graph = Graph()
    graph.input("x", TensorProto.FLOAT, ["n"])
    values = Values(graph, {"v": quantization}, {}, {})
    values.tensors["v"] = values.store("v", "x")
    graph.output("stored", TensorProto.UINT8, ["n"], values.tensors["v"])
    graph.output("real", TensorProto.FLOAT, ["n"], values.read("v"))
    t = np.linspace(-300, 300, 4001).astype(np.float32)
    if quantization.rounding == "ceil":  # where rounding up is promised, and at whole numbers
        fraction = t - np.floor(t)
        t = t[(fraction == 0) | (fraction > 2 * CEIL_MARGIN)]
    stored, real = run(graph.model({}), {"x": t * np.float32(SCALE)})
    expected = rounded(t, quantization)
    assert np.array_equal(stored, expected)
    assert np.array_equal(real, (expected.astype(np.float32) - quantization.zero_point) * SCALE)


def test_float_values_pass():
    values = Values(Graph(), {}, {}, {})
    values.tensors["v"] = values.store("v", "x")
    assert values.read("v") == values.tensors["v"] == "x"
    assert values.rounding_shift("v") == 0
