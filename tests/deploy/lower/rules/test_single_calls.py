import torch
from mmdet.models.necks.ssd_neck import L2Norm
from torch import nn


def test_by_the_length_of_each_pixel(lowering):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), L2Norm(4)).eval()
    net[1].weight.data = torch.tensor([20.0, 10.0, -5.0, 1.0])
    part = lowering.check(lambda n, x: n(x), net=net)
    assert part.operations[-1].weight == (20.0, 10.0, -5.0, 1.0)
    # Outside of a trace it is MMDetection's own.
    assert L2Norm.forward.__module__ == L2Norm.__module__
