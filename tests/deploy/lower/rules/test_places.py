import torch
from torch import nn

from lbwdet.deploy.lower.places import embedding
from lbwdet.deploy.runtime.operations.add import Add


def test_a_learned_map_meets_one_of_the_image(lowering):
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Embedding(30, 4))

    def compute(n, x):
        return n[0](x) + embedding(n[1].weight, x, 5, 6)

    part = lowering.check(compute, torch.randn(1, 3, 5, 6), fusions=(), net=net)
    assert isinstance(part.operations[-1], Add) and "1" in part.layers
