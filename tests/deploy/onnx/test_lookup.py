import numpy as np
import pytest
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.lookup import FUNCTIONS, lookup
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime import arithmetic
from lbwdet.deploy.runtime.arithmetic.functions import Function
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.errors import ConfigError

REFERENCE = arithmetic.functions.FUNCTIONS
PARAMETERS = (-0.75, 1.5)


def test_every_function_has_an_export():
    assert list(FUNCTIONS) == list(REFERENCE)


@pytest.mark.parametrize("name", REFERENCE)
def test_of_reals_it_is_the_function(run, name):
    parameters = PARAMETERS[: len(REFERENCE[name].parameters)]
    graph = Graph()
    graph.input("x", TensorProto.FLOAT, ["n"])
    values = Values(graph, {}, {}, {})
    values.tensors["x"] = "x"
    graph.output("y", TensorProto.FLOAT, ["n"], lookup(Lookup("x", "y", name, parameters), values))
    x = np.linspace(-12, 12, 4001).astype(np.float32)
    (found,) = run(graph.model({}), {"x": x})
    expected = REFERENCE[name].of(x.astype(np.float64), *parameters)
    assert np.allclose(found, expected, rtol=1e-5, atol=2e-6)


def test_a_function_that_nobody_exports_is_refused(monkeypatch):
    monkeypatch.setitem(REFERENCE, "cube", Function((), lambda x: x**3))
    values = Values(Graph(), {}, {}, {})
    values.tensors["x"] = "x"
    with pytest.raises(ConfigError, match="ONNX export knows no function 'cube' of float"):
        lookup(Lookup("x", "y", "cube"), values)
