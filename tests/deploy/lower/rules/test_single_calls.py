import pytest
import torch
from mmdet.models.layers import NormedConv2d, NormedLinear
from mmdet.models.necks.ssd_neck import L2Norm
from torch import nn

from lbwdet.errors import ConfigError


def test_by_the_length_of_each_pixel(lowering):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), L2Norm(4)).eval()
    net[1].weight.data = torch.tensor([20.0, 10.0, -5.0, 1.0])
    part = lowering.check(lambda n, x: n(x), net=net)
    assert part.operations[-1].weight == (20.0, 10.0, -5.0, 1.0)
    # Outside of a trace it is MMDetection's own.
    assert L2Norm.forward.__module__ == L2Norm.__module__


def test_a_layer_is_divided_by_the_length_of_its_weight(lowering):
    net = nn.Sequential(NormedConv2d(3, 4, 1, tempearture=5), nn.Flatten(1)).eval()
    part = lowering.part(lambda n, x: n[0](x), net=net)
    assert [type(operation).__name__ for operation in part.operations] == ["L2Norm", "Conv"]
    assert part.operations[0].weight == (5.0,) * 3
    (layer,) = part.layers.values()
    assert layer.length_eps == 1e-6 and layer.bias == tuple(net[0].bias.tolist())
    linear = nn.Sequential(nn.Conv2d(3, 4, 16), nn.Flatten(1), NormedLinear(4, 2, power=2)).eval()
    with pytest.raises(ConfigError, match="no rule for linalg_vector_norm"):
        lowering.part(lambda n, x: n(x), net=linear)
