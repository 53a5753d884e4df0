import copy

import pytest
import torch
from torch import nn

from lbwdet.errors import ConfigError, LBWError
from lbwdet.layers import quantize_
from lbwdet.posttraining import estimate_norms


@torch.no_grad()
def test_each_norm_has_the_statistics_of_what_it_reads(net, images):
    quantize_(net, dict(bit_width=4, code="dense"))
    weights = copy.deepcopy(net.state_dict())
    told = []
    names = estimate_norms(net, images, on_norm=lambda *each: told.append(each))
    assert names == ["stem_norm", "depthwise_norm"]
    assert told == [("stem_norm", 1, 2), ("depthwise_norm", 2, 2)]
    read = net.stem(torch.cat(images))
    assert torch.allclose(net.stem_norm.running_mean, read.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(net.stem_norm.running_var, read.var((0, 2, 3)), rtol=1e-5)
    read = net.depthwise(net.stem_norm(read).relu())  # behind the new statistics
    assert torch.allclose(net.depthwise_norm.running_mean, read.mean((0, 2, 3)), atol=1e-6)
    changed = {
        key for key, value in net.state_dict().items() if not torch.equal(value, weights[key])
    }
    assert changed == {f"{name}.running_{kind}" for name in names for kind in ("mean", "var")}


@torch.no_grad()
def test_a_shared_norm_sees_every_use():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x):
            return self.norm(x), self.norm(3 * x + 1)

    net, x = Twice().eval(), torch.randn(64, 3)
    estimate_norms(net, [x])
    both = torch.cat([x, 3 * x + 1])
    assert torch.allclose(net.norm.running_mean, both.mean(0), atol=1e-6)
    assert torch.allclose(net.norm.running_var, both.var(0), rtol=1e-5)


def test_bad_input(net, images):
    with pytest.raises(ConfigError, match="no inputs: the statistics need one image or more"):
        estimate_norms(net, [])
    with pytest.raises(LBWError, match="stem_norm: its inputs are NaN or infinite"):
        estimate_norms(net, [torch.full((1, 3, 8, 8), torch.nan)])
    single = nn.Sequential(nn.BatchNorm1d(2)).eval()
    with pytest.raises(LBWError, match="0: reads a single position"):
        estimate_norms(single, [torch.ones(1, 2)])
    with pytest.raises(ConfigError, match="is in training mode"):
        estimate_norms(net.train(), images)
