import numpy as np
import pytest
from lbwdet.deploy.runtime.reference.roi_align import levels_of
from lbwdet.deploy.runtime.reference.roi_align import roi_align as reference
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.roi_align import roi_align
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations import Quantization, RoIAlign

SIDES = ((24, 32), (12, 16), (6, 8))


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("rounding", ["nearest", "ceil"])
def test_a_step_away_at_most(run, levels, ratio, rounding):
    random = np.random.default_rng(levels)
    names = [f"p{level}" for level in range(levels)]
    quantizations = {name: Quantization(0.03125, 100 + 9 * i) for i, name in enumerate(names)}
    quantizations["rois"] = Quantization(float(np.float32(0.027)), 110, 250, rounding)
    maps = [random.integers(0, 256, (1, *side, 6)).astype(np.uint8) for side in SIDES[:levels]]
    corners = np.sort(random.uniform(0, 1, (40, 2, 2)), 1) * (128, 96)
    boxes = corners.reshape(-1, 4).astype(np.float32)
    operation = RoIAlign(tuple(names), "boxes", "rois", (4, 8, 16)[:levels], 7, ratio, 16.0)
    assert len(set(levels_of(boxes, 16.0, levels))) == levels

    graph = Graph()
    values = Values(graph, quantizations)
    inputs = {"boxes": boxes}
    for name, value in zip(names, maps, strict=True):
        q = quantizations[name]
        inputs[name] = ((value.astype(np.float32) - q.zero_point) * q.scale).transpose(0, 3, 1, 2)
        graph.input(name, TensorProto.FLOAT, list(inputs[name].shape))
        values.write(name, name)
    graph.input("boxes", TensorProto.FLOAT, ["n", 4])
    values.write("boxes", "boxes")
    roi_align(graph, operation, values)
    assert values.sides["rois"] == (7, 7)
    graph.output("out", TensorProto.UINT8, list("nchw"), values.stored("rois"))
    model = graph.model({})

    (found,) = run(model, inputs)
    expected = reference(operation, maps, boxes, quantizations)
    steps = found.transpose(0, 2, 3, 1).astype(int) - expected
    assert np.abs(steps).max() <= 1
    assert (steps != 0).mean() < 0.01
    # boxes of one level only: the others get none
    few = boxes[levels_of(boxes, 16.0, levels) == 0][:3]
    (found,) = run(model, {**inputs, "boxes": few})
    steps = found.transpose(0, 2, 3, 1).astype(int) - reference(operation, maps, few, quantizations)
    assert np.abs(steps).max() <= 1
