import numpy as np
import pytest
from lbwdet.deploy.runtime.reference.detections import detections as reference_detections
from lbwdet.deploy.runtime.reference.proposals import proposals as reference_proposals
from onnx import TensorProto

from lbwdet.deploy.onnx.boxes import ImageSize, best_first, detections, proposals
from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations import BoxCoder, Detections, Proposals

SIDES = ((24, 32), (12, 16), (3, 4))
ANCHORS = ((-8.0, -16.0, 8.0, 16.0), (-11.0, -11.0, 11.0, 11.0), (-16.0, -8.0, 16.0, 8.0))
RESIZED, ORIGINAL = (90, 120), (180, 60)


def begin(**inputs):
    graph = Graph()
    values = Values(graph, {})
    for name, array in inputs.items():
        graph.input(name, TensorProto.FLOAT, list(array.shape))
        values.write(name, name)
    height, width = (graph.constant(float(side)) for side in RESIZED)
    factors = [np.float32(1) / np.float32(r / o) for r, o in zip(RESIZED, ORIGINAL, strict=True)]
    factor_y, factor_x = (graph.constant(factor) for factor in factors)
    return graph, values, ImageSize(height, width, factor_y, factor_x)


@pytest.mark.parametrize("min_size", [-1.0, 0.0, 25.0, 1e6])
def test_proposals(run, min_size):
    random = np.random.default_rng(0)
    scores = [random.normal(0, 1, (1, *side, 3)).astype(np.float32) for side in SIDES]
    deltas = [random.normal(0, 0.5, (1, *side, 12)).astype(np.float32) for side in SIDES]
    operation = Proposals(
        scores=("s0", "s1", "s2"),
        deltas=("d0", "d1", "d2"),
        output="proposals",
        strides=(4, 8, 32),
        base_anchors=(ANCHORS,) * 3,
        coder=BoxCoder((0.0, 0.1, 0.0, -0.1), (1.0, 0.9, 1.0, 1.1), 16 / 1000),
        pre_nms=200,
        max_boxes=50,
        iou_threshold=0.7,
        min_size=min_size,
    )
    inputs = {f"s{level}": score.transpose(0, 3, 1, 2) for level, score in enumerate(scores)}
    inputs |= {f"d{level}": delta.transpose(0, 3, 1, 2) for level, delta in enumerate(deltas)}
    graph, values, size = begin(**inputs)
    proposals(graph, operation, values, size)
    graph.output("found", TensorProto.FLOAT, ["n", 4], values.read("proposals"))
    (found,) = run(graph.model({}), inputs)
    expected = reference_proposals(operation, scores, deltas, RESIZED)
    assert len(expected) == {25.0: 31, 1e6: 0}.get(min_size, 50)
    assert found.shape == expected.shape
    assert np.allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize(("threshold", "some"), [(0.05, True), (0.9999, False)])
def test_detections(run, class_agnostic, threshold, some):
    random = np.random.default_rng(1)
    count, classes = 60, 4
    scores = random.normal(0, 2, (count, classes + 1)).astype(np.float32)
    deltas = random.normal(0, 1, (count, 4 if class_agnostic else 16)).astype(np.float32)
    corners = np.sort(random.uniform(0, 1, (count, 2, 2)), 1) * (120, 90)
    boxes = corners.reshape(-1, 4).astype(np.float32)
    operation = Detections(
        scores="scores",
        deltas="deltas",
        boxes="boxes",
        num_classes=classes,
        class_agnostic=class_agnostic,
        coder=BoxCoder((0.0,) * 4, (0.1, 0.1, 0.2, 0.2), 16 / 1000),
        score_threshold=threshold,
        iou_threshold=0.5,
        max_boxes=30,
    )
    inputs = dict(scores=scores, deltas=deltas, boxes=boxes)
    graph, values, size = begin(**inputs)
    found_boxes, found_scores, labels = detections(graph, operation, values, size)
    graph.output("b", TensorProto.FLOAT, ["n", 4], found_boxes)
    graph.output("s", TensorProto.FLOAT, ["n"], found_scores)
    graph.output("l", TensorProto.INT64, ["n"], labels)
    found = run(graph.model({}), inputs)
    expected = reference_detections(
        operation, scores[:, None, None], deltas[:, None, None], boxes, RESIZED, ORIGINAL
    )
    assert len(expected[1]) == (30 if some else 0)
    assert [value.shape for value in found] == [value.shape for value in expected]
    assert np.allclose(found[0], expected[0], atol=1e-3)
    assert np.allclose(found[1], expected[1], atol=1e-6)
    assert np.array_equal(found[2], expected[2])


def test_the_best_come_first_and_ties_keep_their_order(run):
    graph = Graph()
    graph.input("x", TensorProto.FLOAT, ["n"])
    scores, index = best_first(graph, "x", 3)
    graph.output("scores", TensorProto.FLOAT, ["k"], scores)
    graph.output("index", TensorProto.INT64, ["k"], index)
    model = graph.model({})
    found = run(model, {"x": np.array([1, 3, 2, 3, 0], np.float32)})
    assert [value.tolist() for value in found] == [[3, 3, 2], [1, 3, 2]]
    found = run(model, {"x": np.array([1, 2], np.float32)})
    assert [value.tolist() for value in found] == [[2, 1], [1, 0]]
