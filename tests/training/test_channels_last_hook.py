from types import SimpleNamespace

import torch
from torch import nn

from lbwdet.layers import quantize_
from lbwdet.training import ChannelsLastHook

LAST = torch.channels_last


def test_maps_follow_and_stay_the_same_but_for_rounding():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU(), nn.Conv2d(8, 4, 3))
    model = nn.ModuleDict(dict(backbone=quantize_(net.eval(), dict(bit_width=4, code="dense"))))
    x = torch.rand(2, 3, 9, 9)
    before = net(x)
    hook = ChannelsLastHook()
    hook.before_train(SimpleNamespace(model=model))
    during = net(x)
    hook.after_train(SimpleNamespace())
    assert during.is_contiguous(memory_format=LAST)
    assert torch.allclose(during, before, atol=1e-6)
    assert before.is_contiguous() and net(x).is_contiguous()
