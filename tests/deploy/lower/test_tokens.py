import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lbwdet.deploy.runtime.operations.attention import Attention
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.errors import ConfigError


class Block(nn.Module):
    """What a transformer does with tokens."""

    def __init__(self, batch_first):
        super().__init__()
        self.first = batch_first
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.norm, self.fc, self.scale = nn.LayerNorm(8), nn.Linear(8, 6), nn.Linear(6, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
        for parameter in (self.norm.weight, self.attention.in_proj_bias):
            parameter.data.normal_()

    def forward(self, x):
        x = self.stem(x)
        tokens = x.flatten(2).permute(*((0, 2, 1) if self.first else (2, 0, 1)))
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, normed)[0] / 2
        tokens = tokens + self.scale(F.gelu(self.fc(tokens)))
        return tokens.permute(*((0, 2, 1) if self.first else (1, 2, 0))).reshape(x.shape)


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_transformer_is_convolutions_of_one_pixel(lowering, batch_first):
    torch.manual_seed(0)
    part = lowering.check(lambda n, x: n(x), net=Block(batch_first).eval())
    kinds = [type(operation).__name__ for operation in part.operations]
    assert kinds.count("Conv") == 7 and kinds.count("Attention") == 1
    kernels = [operation.kernel for operation in part.operations if isinstance(operation, Conv)]
    assert kernels == [(3, 3)] + [(1, 1)] * 6
    assert set(part.layers) >= {"attention:0", "attention:1", "attention:2", "attention.out_proj"}
    assert part.layers["attention:1"].outputs == tuple(range(8, 16))


def test_channels_last_and_parts_of_channels(lowering):
    def compute(n, x):
        pixels = n.a(n.stem(x)).permute(0, 2, 3, 1)
        one, other = pixels.split(2, dim=-1)
        last = pixels[..., 1:3]
        weight = torch.tensor([2.0, -1.0])
        return (one * weight + other.relu() + last).permute(0, 3, 1, 2)

    lowering.check(compute)


def test_windows_of_pixels_are_one_pixel(lowering):
    def compute(n, x):
        return F.unfold(x, 2, stride=2).transpose(1, 2).reshape(2, 8, 8, 12).permute(0, 3, 1, 2)

    (one,) = lowering.check(compute).operations
    assert type(one).__name__ == "SpaceToDepth" and one.factor == 2


def test_attention_to_fewer_pixels(lowering):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fewer = nn.Conv2d(4, 4, 2, 2)
            self.attention = nn.MultiheadAttention(4, 1, batch_first=True)

    def compute(n, x):
        few = n.fewer(x)
        tokens = (one.flatten(2).transpose(1, 2) for one in (x, few, few))
        return n.attention(*tokens)[0].transpose(1, 2).reshape(x.shape)

    torch.manual_seed(0)
    part = lowering.check(compute, torch.randn(2, 4, 8, 6), net=Net().eval())
    assert any(isinstance(operation, Attention) for operation in part.operations)


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda x: x.flatten(2).softmax(2), "there is no rule for softmax"),
        (
            lambda x: x.flatten(2).transpose(1, 2).reshape(2, 3, 16, 16),
            r"(view|reshape) from \[2, 256, 3\]",
        ),
        (lambda x: x.flatten(2) + x.flatten(2).transpose(1, 2)[:, :3, :1], "cannot be lowered"),
        (lambda x: x.flatten(2).transpose(1, 2) + torch.ones(256, 3), "with a constant of shape"),
        (lambda x: F.unfold(x, 3, stride=2), "there is no rule for im2col"),
        (lambda x: F.layer_norm(x.flatten(2), (256,)), "layer_norm from"),
    ],
)
def test_what_tokens_do_not_do(lowering, compute, message):
    with pytest.raises(ConfigError, match=message):
        lowering.part(lambda n, x: compute(x))
