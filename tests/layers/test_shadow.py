import torch
from torch import nn

from lbwdet.layers.shadow import shadow


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.inner = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3))

    def forward(self, x):
        return self.scale * self.inner(x)


def test_a_shadow_computes_with_other_tensors_and_the_module_with_its_own():
    net, x = Deep(), torch.randn(4, 2)
    before, names = net(x), [name for name, _ in net.named_parameters()]
    twin = shadow(net, {"scale": torch.full((3,), 2.0), "inner.2.bias": None})
    assert type(twin) is Deep and twin.inner[0] is net.inner[0]
    assert torch.allclose(twin(x), 2 * (before - net.inner[2].bias))
    assert torch.equal(net(x), before)
    assert [name for name, _ in net.named_parameters()] == names


def test_what_it_reads_gets_its_gradient():
    net, weight = Deep(), torch.randn(3, 2, requires_grad=True)
    shadow(net, {"inner.0.weight": weight})(torch.randn(4, 2)).sum().backward()
    assert weight.grad is not None and net.inner[0].weight.grad is None
    assert net.inner[2].weight.grad is not None
