import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lbwdet.errors import ConfigError


def test_what_keeps_the_numbers(lowering):
    def compute(n, x):
        y = F.dropout(n.stem(x).contiguous().clone().float(), training=False)
        return n.fc(y.view(2, -1).detach().reshape(2, 256)).view(2, 5)

    part = lowering.check(compute)
    assert [operation.written for operation in part.operations] == ["stem", "fc"]


def test_functions_between_a_map_and_the_layer_that_covers_it(lowering):
    part = lowering.check(lambda n, x: n.fc(F.silu(n.stem(x).flatten(1))))
    assert part.operations[-1].kernel == (8, 8)


class Relay(nn.Module):
    """A linear layer whose numbers become a map of 2 channels, 3 x 3 pixels."""

    def __init__(self):
        super().__init__()
        self.fc, self.conv = nn.Linear(4, 18), nn.Conv2d(2, 3, 3, padding=1)


def test_a_square_map_of_what_a_linear_layer_makes(lowering):
    net = Relay().eval()

    def compute(n, x):
        return n.conv(n.fc(x.mean((2, 3))).reshape(-1, 2, 3, 3))

    part = lowering.check(compute, torch.randn(2, 4, 5, 5), net=net)
    names = [type(operation).__name__ for operation in part.operations]
    assert names == ["GlobalAveragePool", "Conv", "DepthToSpace", "Conv"]
    channels = [(pixel, 9 + pixel) for pixel in range(9)]
    assert part.layers["fc"].outputs == sum(channels, ())


@pytest.mark.parametrize("shape", [(1, 6, 3), (6, 3, 1)], ids=["not-square", "a-column"])
def test_other_maps_of_it_are_refused(lowering, shape):
    with pytest.raises(ConfigError, match=r"from \[2, 18\] to \[2, "):
        lowering.part(
            lambda n, x: n.fc(x.mean((2, 3))).reshape(-1, *shape),
            torch.randn(2, 4, 5, 5),
            net=Relay().eval(),
        )


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda x: x.reshape(2, 3, 8, 32), r"view from \[2, 3, 16, 16\] to \[2, 3, 8, 32\]"),
        (lambda x: x.view(2, 3, 2, 8, 16).sum(2), r"view from \[2, 3, 16, 16\]"),
        (lambda x: x.flatten(2), r"result of shape \[2, 3, 256\] is neither a map nor tokens"),
        (lambda x: x.flatten(1, 2), r"result of shape \[2, 48, 16\] is neither a map nor tokens"),
        (lambda x: F.dropout(x), "dropout in training mode"),
    ],
)
def test_what_moves_them_is_named(lowering, compute, message):
    with pytest.raises(ConfigError, match=message.replace("view", "(view|reshape)")):
        lowering.part(lambda n, x: compute(x))
