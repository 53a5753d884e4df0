import torch
from torch import nn

from lbwdet.studies.zoo.lively import make_lively


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 6, 2, 2, bias=False)
        self.head = nn.Linear(6, 5)
        self.zero = nn.Conv2d(3, 2, 1, bias=False)
        self.dark = nn.Conv2d(3, 2, 1)
        for parameter in self.parameters():
            parameter.data.normal_(0, 0.01)
        self.zero.weight.data.zero_()
        self.head.bias.data.fill_(-4)

    def forward(self, x):
        a = self.conv(x)
        b = self.norm(a)
        c = self.up(b.relu())
        return a, b, c, self.head(c.mean((2, 3))), self.zero(x), self.dark(0 * x)


def test_every_layer_has_a_spread_of_one():
    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(4, 3, 12, 12)
    seen = []
    make_lively(net, lambda: seen.append(net(x)))
    with torch.no_grad():
        now = net(x)
    for during, after in zip(seen[0], now, strict=True):
        torch.testing.assert_close(during, after, atol=1e-4, rtol=1e-4)
    a, b, c, d, zero, dark = now
    for value in (a - net.conv.bias[:, None, None], c, d - net.head.bias, zero):
        torch.testing.assert_close(value.std(), torch.tensor(1.0), atol=1e-3, rtol=0)
    assert (net.head.bias == -4).all()
    spread = (b - net.norm.bias[None, :, None, None]).std((0, 2, 3)) / net.norm.weight.abs()
    assert (net.norm.bias == 1).all()
    assert (spread < 1.01).all() and (spread > 0.3).all()
    assert (net.norm.running_var >= 0.24 * a.var((0, 2, 3)).mean()).all()
    assert torch.isfinite(dark).all() and net.dark.weight.abs().max() < 0.1


def test_most_numbers_of_group_norms_pass_an_activation():
    norm, x = nn.GroupNorm(2, 8), torch.randn(2, 8, 5, 5)
    make_lively(norm, lambda: norm(x))
    assert (norm(x) > 0).float().mean() > 0.75
    norm.bias.data.zero_()
    make_lively(norm, lambda: norm(x), scaled=False)
    assert not norm.bias.any()


def test_a_layer_that_is_met_twice_is_scaled_once():
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 4), torch.randn(8, 4)
    make_lively(layer, lambda: (layer(x), layer(10 * x)))
    torch.testing.assert_close((layer(x) - layer.bias).std(), torch.tensor(1.0), atol=1e-3, rtol=0)
