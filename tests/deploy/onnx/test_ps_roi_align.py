import numpy as np
import pytest
from lbwdet.deploy.runtime.reference.ps_roi_align import ps_roi_align as reference
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.ps_roi_align import ps_roi_align
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations import PSRoIAlign


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("size", [3, 7])
def test_it_is_the_reference(run, size, ratio):
    random = np.random.default_rng(size)
    scores = random.normal(0, 1, (1, 12, 16, 4 * size**2)).astype(np.float32)
    corners = np.sort(random.uniform(0, 1, (40, 2, 2)), 1) * (128, 96)
    boxes = corners.reshape(-1, 4).astype(np.float32)
    operation = PSRoIAlign("maps", "boxes", "votes", 8, size, ratio)

    graph = Graph()
    values = Values(graph, {})
    graph.input("maps", TensorProto.FLOAT, [1, 4 * size**2, "h", "w"])
    graph.input("boxes", TensorProto.FLOAT, ["n", 4])
    for name in ("maps", "boxes"):
        values.write(name, name)
    ps_roi_align(graph, operation, values)
    graph.output("out", TensorProto.FLOAT, ["n", 4], values.read("votes"))
    model = graph.model({})

    (found,) = run(model, {"maps": scores.transpose(0, 3, 1, 2), "boxes": boxes})
    expected = reference(operation, scores, boxes)[:, 0, 0]
    assert np.abs(expected).max() > 0.3
    assert np.allclose(found, expected, atol=1e-4)
