import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.depth_to_space import DepthToSpace
from lbwdet.errors import ConfigError


def test_a_convolution_with_all_its_settings(lowering):
    part = lowering.check(lambda n, x: n.stem(x))
    (stem,) = part.operations
    assert stem == Conv("stem", "input", "stem", (3, 3), (2, 2), (1, 1))
    assert (part.layers["stem"].module, part.layers["stem"].weight) == ("stem", "stem.weight")
    net = nn.Sequential(nn.Conv2d(3, 2, (3, 5), (1, 2), (2, 1), dilation=(2, 1))).eval()
    (other,) = lowering.check(lambda n, x: n(x), net=net).operations
    assert other == Conv("0", "input", "0", (3, 5), (1, 2), (2, 1), dilation=(2, 1))


@pytest.mark.parametrize(("outputs", "groups"), [(3, 3), (6, 3)])
def test_in_groups(lowering, outputs, groups):
    net = nn.Sequential(nn.Conv2d(3, outputs, 3, groups=groups), nn.BatchNorm2d(outputs)).eval()
    (conv,) = lowering.check(lambda n, x: n(x), net=net).operations
    assert conv.groups == groups


@pytest.mark.parametrize(("padding", "expected"), [("same", (2, 1)), ("valid", (0, 0))])
def test_paddings_that_have_names(lowering, padding, expected):
    net = nn.Sequential(nn.Conv2d(3, 2, (3, 3), padding=padding, dilation=(2, 1))).eval()
    (conv,) = lowering.check(lambda n, x: n(x), net=net).operations
    assert conv.padding == expected


def test_a_linear_layer_is_a_convolution_that_covers_the_map(lowering):
    part = lowering.check(lambda n, x: n.fc(F.dropout(n.stem(x).flatten(1), training=False)))
    assert part.operations[-1] == Conv("fc", "stem", "fc", (8, 8))
    assert part.layers["fc"].kernel == (8, 8)


def test_layers_behind_one_another_on_vectors(lowering):
    net = nn.Sequential(nn.Linear(4 * 8 * 8, 256), nn.ReLU(), nn.Linear(256, 3)).eval()
    sample = torch.randn(2, 4, 8, 8)
    part = lowering.check(lambda n, x: n(x.flatten(1)), sample, net=net)
    first, last = part.operations
    assert (first.kernel, last.kernel) == ((8, 8), (1, 1))


def test_weights_that_are_computed_from_parameters(lowering):
    def standardized(n, x):
        weight = n.stem.weight
        mean, deviation = weight.mean((1, 2, 3), keepdim=True), weight.std()
        return F.conv2d(x, (weight - mean) / deviation, n.stem.bias, 2, 1)

    part = lowering.check(standardized)
    (layer,) = part.layers.values()
    assert layer.weight not in dict(lowering.net.named_parameters())


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.Conv2d(3, 4, 2, padding="same"), r"conv2d \(padding='same'\) with more on one side"),
        (nn.Conv2d(3, 4, (2, 3), padding="same"), r"conv2d \(padding='same'\) with more"),
    ],
)
def test_what_no_convolution_does_is_named(lowering, net, message):
    with pytest.raises(ConfigError, match=f"0 cannot be lowered: {message}"):
        lowering.part(lambda n, x: n(x), net=nn.Sequential(net).eval())


def test_weights_from_the_image_and_layers_of_pixels_are_named(lowering):
    with pytest.raises(ConfigError, match="conv2d with a weight that depends on the image"):
        lowering.part(lambda n, x: F.conv2d(x, x))
    with pytest.raises(ConfigError, match=r"linear to a tensor of shape \[2, 3, 16, 5\]"):
        lowering.part(lambda n, x: F.linear(x, torch.ones(5, 16)))


@pytest.mark.parametrize(("factor", "bias"), [(2, True), (3, False)])
def test_transposed_convolutions_of_separate_blocks(lowering, factor, bias):
    net = nn.Sequential(nn.ConvTranspose2d(3, 5, factor, factor, bias=bias), nn.ReLU()).eval()
    part = lowering.check(lambda n, x: n(x), net=net)
    conv, blocks = part.operations
    assert (conv.kernel, conv.relu, conv.layer) == ((1, 1), True, "0")
    assert blocks == DepthToSpace("0", part.outputs[0], factor)
    lowering.check(lambda n, x: n(x), net=net, fusions=())


@pytest.mark.parametrize(
    "settings",
    [
        dict(kernel_size=4, stride=2, padding=1),
        dict(kernel_size=2, stride=2, output_padding=1),
        dict(kernel_size=(2, 3), stride=(2, 3)),
        dict(kernel_size=2, stride=2, groups=3),
    ],
)
def test_transposed_convolutions_whose_blocks_meet(lowering, settings):
    net = nn.Sequential(nn.ConvTranspose2d(3, 3, **settings)).eval()
    with pytest.raises(ConfigError, match=r"0 cannot be lowered: .*transposed, kernel .*support"):
        lowering.part(lambda n, x: n(x), net=net)
