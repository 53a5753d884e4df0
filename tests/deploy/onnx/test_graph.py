import numpy as np
import onnx
import pytest
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import OPSET, Graph


def test_nodes_constants_and_types(run):
    graph = Graph()
    graph.input("x", TensorProto.FLOAT, ["n", 2])
    low, high = graph.several("Split", 2, graph("Mul", "x", 2.0), [1, 1], axis=1)
    total = graph("ReduceSum", graph("Add", low, high), [1], keepdims=0)
    graph.output("y", TensorProto.FLOAT, ["n"], graph("Add", total, np.array([0.5], np.float32)))
    graph.output("n", TensorProto.INT64, [1], graph.cast(graph("Shape", total), TensorProto.INT64))
    model = graph.model({"key": "value"})
    y, n = run(model, {"x": np.arange(6, dtype=np.float32).reshape(3, 2)})
    assert y.tolist() == [2.5, 10.5, 18.5] and n.tolist() == [3]
    assert [entry.version for entry in model.opset_import] == [OPSET]
    assert {entry.key: entry.value for entry in model.metadata_props} == {"key": "value"}


def test_python_and_numpy_numbers_keep_their_types():
    graph = Graph()
    for value in (1.5, np.float64(1.5), 3, [1, 2], np.uint8(7)):
        graph.constant(value)
    kinds = [tensor.data_type for tensor in graph.model({}).graph.initializer]
    float32, float64, int64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64
    assert kinds == [float32, float64, int64, int64, TensorProto.UINT8]


def test_a_wrong_graph_is_refused():
    graph = Graph()
    graph.output("y", TensorProto.FLOAT, [1], graph("Add", "nobody", 1.0))
    with pytest.raises(onnx.checker.ValidationError):
        graph.model({})


def test_values_may_be_called_like_traced_operations(run):
    graph = Graph()
    graph.input("constant_0", TensorProto.FLOAT, ["n"])
    graph.output("add_0", TensorProto.FLOAT, ["n"], graph("Add", "constant_0", 1.0))
    (found,) = run(graph.model({}), {"constant_0": np.arange(2, dtype=np.float32)})
    assert found.tolist() == [1, 2]
