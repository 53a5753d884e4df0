import numpy as np
import pytest
from lbwdet.deploy.runtime.reference.requantize import requantize
from lbwdet.deploy.runtime.requantize_table import requantize_table
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.values import CEIL_MARGIN, Values
from lbwdet.deploy.runtime.operations import Quantization

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
def test_written_and_read(run, quantization):
    graph = Graph()
    graph.input("x", TensorProto.FLOAT, ["n"])
    values = Values(graph, {"v": quantization})
    shift = values.rounding_shift("v")
    values.write("v", graph("Add", "x", shift) if shift else "x")
    graph.output("stored", TensorProto.UINT8, ["n"], values.stored("v"))
    graph.output("real", TensorProto.FLOAT, ["n"], values.read("v"))
    t = np.linspace(-300, 300, 4001).astype(np.float32)
    if quantization.rounding == "ceil":  # where rounding up is promised, and at whole numbers
        fraction = t - np.floor(t)
        t = t[(fraction == 0) | (fraction > 2 * CEIL_MARGIN)]
    stored, real = run(graph.model({}), {"x": t * np.float32(SCALE)})
    expected = requantize(t, quantization)
    assert np.array_equal(stored, expected)
    assert np.array_equal(real, (expected.astype(np.float32) - quantization.zero_point) * SCALE)


def test_float_values_pass():
    graph = Graph()
    values = Values(graph, {})
    values.write("v", "x")
    assert values.read("v") == values.stored("v") == "x"
    assert values.quantization("v") is None and values.rounding_shift("v") == 0


def test_requantized_values_are_exact(run):
    eight, four = Quantization(SCALE, 77), Quantization(4 * SCALE, 0, 15, "ceil")
    graph = Graph()
    graph.input("x", TensorProto.FLOAT, [1, 256, 1, 1])
    values = Values(graph, {"a": eight, "b": four})
    values.sides["a"] = (1, 1)
    values.write("a", "x")
    values.requantize("b", "a")
    assert values.sides["b"] == (1, 1)
    graph.output("stored", TensorProto.UINT8, [1, 256, 1, 1], values.stored("b"))
    x = ((np.arange(256, dtype=np.float32) - 77) * SCALE).reshape(1, 256, 1, 1)
    (stored,) = run(graph.model({}), {"x": x})
    assert np.array_equal(stored.ravel(), requantize_table(eight, four))


def test_requantized_values_that_stay_float():
    values = Values(Graph(), {})
    values.write("a", "x")
    values.requantize("b", "a")
    assert values.read("b") == "x"
