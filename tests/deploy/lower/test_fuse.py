import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lbwdet.deploy.lower.fuse import fuse
from lbwdet.deploy.lower.trace import trace
from lbwdet.deploy.runtime.operations import Conv, MaxPool
from lbwdet.errors import ConfigError


class Net(nn.Module):
    """Parts to compute something with; ``forward`` is given from outside."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.a = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.b = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.grouped = nn.Conv2d(4, 4, 3, groups=2)
        self.same = nn.Conv2d(4, 4, 3, padding="same")
        self.up = nn.ConvTranspose2d(4, 4, 2)
        self.fc = nn.Linear(4 * 8 * 8, 5)
        self.other = nn.BatchNorm2d(4)


def fused(compute, net=None):
    net = net or Net().eval()
    graph = trace(net, compute, torch.zeros(2, 3, 16, 16))
    return fuse(graph, dict.fromkeys(graph.inputs, "input"))


def test_a_convolution_takes_all_that_follows_it():
    result = fused(lambda n, x: n.norm(n.a(n.stem(x))).relu())
    stem, a = result.operations
    assert stem == Conv("stem", "input", "stem", (3, 3), (2, 2), (1, 1))
    assert a == Conv("a", "stem", "a", (3, 3), padding=(1, 1), relu=True)
    assert result.outputs == ("a",)
    assert result.layers["a"].norm == (
        "norm.weight",
        "norm.bias",
        "norm.running_mean",
        "norm.running_var",
    )
    assert result.layers["stem"].norm is None and result.layers["stem"].bias == "stem.bias"


def test_of_two_convolutions_the_first_takes_the_other_which_comes_before_it():
    def block(n, x):
        x = n.stem(x)
        return F.relu(n.a(x) + n.norm(n.b(x)))

    _, b, a = fused(block).operations
    assert (b.layer, b.relu, a.layer, a.residual, a.relu) == ("b", False, "a", "b", True)
    assert a.input == b.input == "stem"


def test_residual_from_a_pool_and_one_layer_used_twice():
    def net(n, x):
        x = F.max_pool2d(n.stem(x), 3, 1, 1)
        y = n.a(x) + x
        return n.b(y), n.b(x)

    result = fused(net)
    _, pool, a, b0, b1 = result.operations
    assert isinstance(pool, MaxPool) and pool.input == "stem" and a.residual == pool.output
    assert (pool.kernel, pool.stride, pool.padding) == ((3, 3), (1, 1), (1, 1))
    assert (b0.output, b1.output) == result.outputs == ("b:0", "b:1")
    assert (b0.input, b1.input) == ("a", pool.output)


def test_upsampling_belongs_to_the_addition():
    def net(n, x):
        x = n.stem(x)
        small = n.b(F.max_pool2d(x, 2))
        return n.a(x) + F.interpolate(small, size=x.shape[2:])

    a = fused(net).operations[-1]
    assert a.residual == "b" and a.upsample


def test_a_linear_layer_is_a_convolution_that_covers_the_map():
    result = fused(lambda n, x: n.fc(F.dropout(n.stem(x).flatten(1), training=False)).relu())
    fc = result.operations[-1]
    assert fc == Conv("fc", "stem", "fc", (8, 8), relu=True)
    assert result.layers["fc"].kernel == (8, 8)


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda n, x: n.a(n.stem(x).sigmoid()), "sigmoid is not supported there"),
        (lambda n, x: n.stem(x.relu()), "relu is not supported there"),
        (lambda n, x: n.grouped(n.stem(x)), r"grouped .*: conv2d \(groups=2\) is not supported"),
        (lambda n, x: n.same(n.stem(x)), r"same .*conv2d \(padding='same'\) is not supported"),
        (lambda n, x: n.up(n.stem(x)), "up cannot be lowered: conv_transpose2d is not"),
        (lambda n, x: n.b(F.interpolate(n.stem(x), scale_factor=2)), "upsample_nearest2d is not"),
        (lambda n, x: n.stem(x) + 1, "add is not supported"),
        (lambda n, x: torch.add(n.a(n.stem(x)), n.b(n.stem(x)), alpha=2), "add is not supported"),
        (lambda n, x: F.max_pool2d(n.stem(x), 3, 2, ceil_mode=True), "max_pool2d with ceil_mode"),
        (lambda n, x: n.b(n.stem(x).reshape(2, 4, 16, 4)), "reshape from"),
        (lambda n, x: (n.norm(n.a(n.stem(x))), n.other(n.a(n.stem(x)))), "different batch norms"),
        (lambda n, x: n.norm(F.max_pool2d(n.stem(x), 2)), "norm cannot .*: batch_norm is not"),
    ],
)
def test_what_fits_nowhere_is_named(compute, message):
    with pytest.raises(ConfigError, match=message):
        fused(compute)


def test_batch_norm_must_not_learn():
    net = Net().eval()

    def learning(n, x):
        y = n.a(n.stem(x))
        return F.batch_norm(y, n.norm.running_mean, n.norm.running_var, training=True)

    with pytest.raises(ConfigError, match="in training mode"):
        fused(learning, net)
