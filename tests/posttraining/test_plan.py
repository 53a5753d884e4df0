import torch
from torch import nn

from lbwdet.layers import quantizable_layers
from lbwdet.posttraining.plan import make_plan


def plan_of(net, x):
    return make_plan(net, dict(quantizable_layers(net)), lambda: net(x))


def test_order_uses_and_norms(net, images):
    plan = plan_of(net, images[0])
    assert list(plan.uses.items()) == [
        ("stem", 1),
        ("stem_norm", 1),
        ("depthwise", 1),
        ("depthwise_norm", 1),
        ("up", 1),
        ("shared", 2),
        ("last", 2),
    ]
    assert plan.norms == {"stem": ["stem_norm"], "depthwise": ["depthwise_norm"]}


def test_a_norm_that_is_not_the_only_reader_takes_no_factor():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) + y

    net = Residual().eval()
    plan = plan_of(net, torch.randn(1, 3, 4, 4))
    assert plan.uses == {"conv": 1, "norm": 1} and plan.norms == {}


def test_one_layer_with_a_norm_for_each_use():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(2))

        def forward(self, x):
            return [norm(self.conv(x)) for norm in self.norms]

    plan = plan_of(Shared().eval(), torch.randn(1, 3, 4, 4))
    assert plan.norms == {"conv": ["norms.0", "norms.1"]}


def test_memory_is_what_tensors_hold_at_once():
    net = nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(8))).eval()
    plan = plan_of(net, torch.randn(1, 4, 50, 50))
    assert plan.live_bytes == 40_000  # the output of the layer before, of all the others none
