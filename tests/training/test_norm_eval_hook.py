from types import SimpleNamespace

import torch
from torch import nn

from lbwdet.training import NormEvalHook


def test_statistics_stay_and_gains_are_trained():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    before = {name: value.clone() for name, value in net.named_buffers()}
    NormEvalHook().before_train_iter(SimpleNamespace(model=net), 0)
    assert net.training and not net[1].training
    net(torch.rand(8, 3, 5, 5)).sum().backward()
    assert all((value == before[name]).all() for name, value in net.named_buffers())
    assert net[1].weight.requires_grad and net[1].weight.grad.abs().sum() > 0
