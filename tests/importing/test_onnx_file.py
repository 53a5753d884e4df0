import numpy as np
import onnx
import pytest
import torch
from torch import nn

from lbwdet.errors import CheckpointError
from lbwdet.importing.onnx_file import Graph, read_convolutions
from tests.importing.conftest import export


@pytest.fixture
def file(tmp_path):
    def write(*layers: nn.Module):
        path = tmp_path / "net.onnx"
        export(nn.Sequential(*layers).eval(), path)
        return path

    return write


def test_convolutions_in_the_order_of_the_graph(file):
    layers = nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Conv2d(4, 4, 1, groups=4)
    found = read_convolutions(file(*layers))
    for (weight, bias), layer in zip(found, (layers[0], layers[2]), strict=True):
        assert (weight == layer.weight.detach().numpy()).all()
        assert (bias == layer.bias.detach().numpy()).all()


def test_a_convolution_without_bias_or_with_a_nan_is_refused(file):
    with pytest.raises(CheckpointError, match="no stored weight and bias; export it with batch"):
        read_convolutions(file(nn.Conv2d(3, 4, 3, bias=False)))
    broken = nn.Conv2d(3, 4, 3)
    nn.init.constant_(broken.bias, float("nan"))
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        read_convolutions(file(broken))


def test_what_the_graph_computes(file):
    layer = nn.Conv2d(3, 4, 3)
    graph = Graph(file(layer))
    assert graph.size == (64, 64)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        np.testing.assert_allclose(graph(image.numpy()), layer(image).numpy(), atol=1e-5)


def test_other_inputs_are_refused(tmp_path):
    path = tmp_path / "net.onnx"
    torch.onnx.export(nn.Linear(5, 2), torch.zeros(1, 5), str(path), dynamo=False)
    with pytest.raises(CheckpointError, match=r"its inputs are \[\[1, 5\]\], not one image"):
        Graph(path)
    model = onnx.load(str(path))
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, str(path))
    with pytest.raises(CheckpointError, match="ONNX Runtime cannot run it"):
        Graph(path)
