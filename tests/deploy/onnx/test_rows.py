import numpy as np
from onnx import TensorProto

from lbwdet.deploy.onnx import rows
from lbwdet.deploy.onnx.graph import Graph


def test_the_best_come_first_and_ties_keep_their_order(run):
    graph = Graph()
    graph.input("x", TensorProto.FLOAT, ["n"])
    scores, index = rows.best_first(graph, "x", 3)
    graph.output("scores", TensorProto.FLOAT, ["k"], scores)
    graph.output("index", TensorProto.INT64, ["k"], index)
    model = graph.model({})
    found = run(model, {"x": np.array([1, 3, 2, 3, 0], np.float32)})
    assert [value.tolist() for value in found] == [[3, 3, 2], [1, 3, 2]]
    found = run(model, {"x": np.array([1, 2], np.float32)})
    assert [value.tolist() for value in found] == [[2, 1], [1, 0]]


def test_as_many_as_another_has_rows(run):
    graph = Graph()
    graph.input("x", TensorProto.FLOAT, ["n"])
    graph.input("few", TensorProto.FLOAT, ["m"])
    scores, _ = rows.best_first(graph, "x", 3, among="few")
    graph.output("scores", TensorProto.FLOAT, ["k"], scores)
    x, few = np.array([1, 3, 2], np.float32), np.zeros(2, np.float32)
    assert run(graph.model({}), {"x": x, "few": few})[0].tolist() == [3, 2]


def test_rows_of_columns(run):
    graph = Graph()
    graph.input("x", TensorProto.FLOAT, ["n", 7])
    boxes, score = rows.boxes(graph, "x"), rows.column(graph, "x", 4)
    high = rows.where(graph, graph("Greater", score, 0.5))
    graph.output(
        "out", TensorProto.FLOAT, ["m", 5], graph("Gather", rows.join(graph, boxes, score), high)
    )
    x = np.random.default_rng(0).random((9, 7)).astype(np.float32)
    (found,) = run(graph.model({}), {"x": x})
    assert 0 < len(found) < 9 and np.array_equal(found, x[x[:, 4] > 0.5, :5])
