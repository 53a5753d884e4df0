import pytest
import torch
from torch import nn

from lbwdet.deploy.lower.mixing import mix
from lbwdet.errors import LBWError
from lbwdet.studies.zoo.substitution import places_of, substituted


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x):
        return [self.layer(x) + 1, x * 3], {"more": self.layer(x * 10)}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = Head()

    def forward(self, x):
        (one, two), rest = self.head(x)
        return one + two + rest["more"]


def test_tensors_are_exchanged_and_come_back():
    net, x = Net(), torch.ones(2)

    def dense():
        (one, _), rest = net.head(x)
        return [one, rest["more"]]

    places = places_of(net, dense)
    assert [{module for module, *_ in found} for found in places] == [
        {net.head},
        {net.head, net.head.layer},
    ]
    with substituted(net, places, [torch.full((2,), 100.0), torch.full((2,), 1000.0)]):
        assert net(x).tolist() == [1103.0] * 2
    assert net(x).tolist() == [15.0] * 2


def test_a_tensor_that_no_module_returns():
    net, x = Net(), torch.ones(2)
    with pytest.raises(LBWError, match="no module returns map 1 of 2"):
        places_of(net, lambda: [net(x), x.clone()])


def test_some_channels_of_what_a_module_returns():
    net, x = nn.Sequential(nn.Identity()), torch.arange(6.0).reshape(1, 6)

    def dense():
        whole = net(x)
        return [whole.index_select(1, torch.tensor(some)) for some in ([5, 0], [2])]

    places = places_of(net, dense)
    with substituted(net, places, [torch.tensor([[50.0, 10.0]]), torch.tensor([[20.0]])]):
        assert net(x).tolist() == [[10, 1, 20, 3, 4, 50]]
    assert net(x).tolist() == x.tolist()


def test_a_map_to_which_a_vector_was_added():
    net, x = nn.Sequential(nn.Identity(), nn.Flatten(0)), torch.arange(8.0).reshape(1, 2, 2, 2)
    context = torch.tensor([100.0, 200.0]).reshape(1, 2, 1, 1)
    places = places_of(net, lambda: [net[0](x) + context])
    with substituted(net, places, [torch.zeros_like(x)]):
        assert net(x).tolist() == [-100.0] * 4 + [-200.0] * 4
    summed = nn.Sequential(Sum(context))
    with substituted(summed, places_of(summed, lambda: [summed(x)]), [torch.zeros_like(x)]):
        assert not summed(x).any()  # the sum itself is what a module returns


def test_a_map_of_tokens_to_which_another_was_added():
    net, x = nn.Sequential(nn.Identity()), torch.arange(8.0).reshape(1, 4, 2)
    other = torch.full((1, 2, 2, 2), 100.0)

    def dense():
        deltas = net(x).transpose(1, 2).reshape(1, 2, 2, 2)
        factors = [float(k in (row, row + 2)) for row in range(2) for k in range(4)]
        return [mix([deltas, other], factors, [0.0, 0.0], [], [])]

    (tensor,) = dense()
    with substituted(net, places_of(net, dense), [tensor + 10]):
        assert torch.equal(net(x), x + 10)


class Sum(nn.Module):
    def __init__(self, context):
        super().__init__()
        self.context = context

    def forward(self, x):
        return x + self.context
