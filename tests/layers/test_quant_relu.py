import torch
from torch import nn

from lbwdet.layers import QuantReLU, calibration
from lbwdet.quantizers import quantized_relu


def test_takes_the_place_of_a_relu():
    net = nn.Sequential(nn.Linear(6, 4), QuantReLU(inplace=True, bit_width=2))
    x = torch.randn(64, 6)
    with calibration(net):
        net(x)
    before = net[0](x)
    assert (before < 0).any() and net[1].unsigned and net[1].bit_width == 2
    out = net(x)
    assert torch.equal(out, quantized_relu(before, net[1].scale, 2))
    assert out.unique().numel() == 4
    out.sum().backward()
    assert net[0].weight.grad is not None and net[1].alpha.grad is not None
