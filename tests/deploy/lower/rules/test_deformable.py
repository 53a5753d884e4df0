import pytest
import torch
from mmcv.ops import (
    DeformConv2d,
    DeformConv2dPack,
    ModulatedDeformConv2d,
    ModulatedDeformConv2dPack,
    deform_conv2d,
)
from torch import nn

from lbwdet.deploy.lower.fusions import FUSIONS
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.deformed_samples import DeformedSamples
from lbwdet.errors import ConfigError

SETTINGS = [
    dict(kernel_size=3, padding=1),
    dict(kernel_size=3, padding=1, groups=4),
    dict(kernel_size=3, padding=1, deform_groups=4),
    dict(kernel_size=3, padding=2, stride=2, dilation=2, groups=2, deform_groups=4),
    dict(kernel_size=1, groups=4, deform_groups=2),
]


def net(kind, **settings):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), kind(8, 12, **settings), nn.BatchNorm2d(12), nn.ReLU()]
    found = nn.Sequential(*layers).eval()
    found[1].conv_offset.weight.data.normal_(0, 0.3)
    found[1].conv_offset.bias.data.normal_()
    return found


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", [DeformConv2dPack, ModulatedDeformConv2dPack])
@pytest.mark.parametrize("fusions", [FUSIONS, ()], ids=["fused", "plain"])
def test_packs(lowering, kind, settings, fusions):
    part = lowering.check(lambda n, x: n(x), net=net(kind, **settings), fusions=fusions)
    operations = [operation for operation in part.operations if isinstance(operation, Conv)]
    samples = next(each for each in part.operations if isinstance(each, DeformedSamples))
    assert samples.modulated == (kind is ModulatedDeformConv2dPack)
    assert [each.kernel for each in operations][-1] == (1, 1)
    if fusions:
        assert [type(each).__name__ for each in part.operations] == [
            *("Conv", "Conv", "DeformedSamples", "Conv")
        ]
        assert operations[-1].relu


def test_maps_smaller_than_the_kernel(lowering):
    torch.manual_seed(0)
    layers = nn.ModuleList(
        [nn.Conv2d(3, 4, 3), nn.Conv2d(4, 18, 1), DeformConv2d(4, 5, 3, padding=1)]
    )

    def compute(n, x):
        x = n[0](x)
        return n[2](x, n[1](x))

    lowering.check(compute, torch.randn(1, 3, 4, 4), net=layers)


class Cut(nn.Module):
    """Offsets and logits of one convolution."""

    def __init__(self):
        super().__init__()
        self.offset = nn.Conv2d(3, 27, 3, padding=1)
        self.conv = ModulatedDeformConv2d(3, 4, 3, padding=1)


def cut(net, x):
    """As DyHead has them."""
    both = net.offset(x)
    return net.conv(x, both[:, :18], both[:, 18:].sigmoid())


def swapped(net, x):
    both = net.offset(x)
    return net.conv(x, both[:, 9:], both[:, :9].sigmoid())


def other_function(net, x):
    both = net.offset(x)
    return net.conv(x, both[:, :18], both[:, 18:].relu())


def other_size(net, x):
    return deform_conv2d(x, net.offset(x)[:, :18], net.conv.weight, 2, 1)


def computed_weight(net, x):
    return deform_conv2d(x, net.offset(x)[:, :18], x)


def test_offsets_and_logits_that_are_slices(lowering):
    part = lowering.check(cut, net=Cut().eval())
    assert [type(each).__name__ for each in part.operations] == ["Conv", "DeformedSamples", "Conv"]


@pytest.mark.parametrize(
    ("compute", "problem"),
    [
        (swapped, "with a mask that is not the sigmoid of the channels behind"),
        (other_function, "with a mask that is not the sigmoid of the channels behind"),
        (other_size, r"with offsets for \[16, 16\] pixels; .* \[8, 8\]"),
        (computed_weight, "with a weight that depends on the image"),
    ],
)
def test_refused(lowering, compute, problem):
    with pytest.raises(ConfigError, match=f"cannot be lowered: deform_conv2d {problem}"):
        lowering.part(compute, net=Cut().eval())
