import copy

import pytest
import torch
from torch import nn

from lbwdet.layers import QuantConv2d, UncalibratedError, calibration, limit_resolutions, quantize_
from lbwdet.layers.channel_quantizer import ChannelInputQuantizer

RANGES = torch.tensor([0.02, 1.0, 7.0, 0.2]).reshape(4, 1, 1)
X = nn.functional.silu(torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(0)) * RANGES)
BY_CHANNEL = dict(bit_width=8, granularity="channel")


def convolution(**settings) -> QuantConv2d:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, settings.pop("outputs", 6), 3, padding=1, **settings)
    net = quantize_(nn.Sequential(conv), dict(bit_width=4, code="dense"), BY_CHANNEL).eval()
    with calibration(net):
        net(X)
    return net[0]


def test_each_channel_has_a_power_of_two():
    quantizer = convolution().input_quantizer
    assert isinstance(quantizer, ChannelInputQuantizer) and quantizer.is_calibrated
    found, steps = quantizer(X), quantizer.steps()
    assert torch.equal(torch.frexp(steps).mantissa, torch.full_like(steps, 0.5))
    codes = quantizer.quantize(X)
    assert codes.dtype == torch.uint8
    assert torch.equal(quantizer.dequantize(codes), found)
    energy = X.square().mean((0, 2, 3))
    assert ((found - X).square().mean((0, 2, 3)) < 1e-3 * energy).all()


@pytest.mark.parametrize("symmetric, zero_point", [(True, 128), (False, 32)])
def test_half_of_all_levels_lie_below_zero_where_the_settings_say_so(symmetric, zero_point):
    net = nn.Sequential(nn.Conv2d(4, 6, 3))
    quantize_(net, dict(bit_width=4), BY_CHANNEL | dict(symmetric=symmetric))
    with calibration(net):
        net(nn.functional.silu(20 * torch.randn(2, 4, 9, 9)))
    assert net[0].input_quantizer.zero_point == zero_point


@pytest.mark.parametrize("settings", [{}, dict(groups=4, outputs=8), dict(groups=2, outputs=4)])
def test_the_weight_is_projected_per_step_of_the_input(settings):
    layer = convolution(**settings)
    unit, weight = layer.unit, layer.weight.detach()
    assert unit.shape[0] == len(weight) and unit.shape[1] == weight.shape[1]
    expected = layer.quantizer.fake_quantize(weight * unit) / unit
    assert torch.equal(layer.fake_quantized_weight(), expected)
    assert torch.equal(layer.quantized_weight().dequantize(), expected * unit)
    # what integers multiply: steps of the input and levels of the weight
    codes = layer.input_quantizer.quantize(X).double() - int(layer.input_quantizer.zero_point)
    of_integers = nn.functional.conv2d(
        codes, (expected * unit).double(), padding=1, groups=layer.groups
    )
    found = layer(X).detach() - layer.bias.detach().reshape(-1, 1, 1)
    torch.testing.assert_close(found, of_integers.float(), atol=1e-4, rtol=1e-4)


def test_the_projection_follows_the_steps():
    layer = convolution()
    before = layer.fake_quantized_weight().detach().clone()
    layer.input_quantizer.exponents[1] += 3
    assert not torch.equal(layer.fake_quantized_weight(), before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_modules_of_another_type(dtype):
    """Steps of channels that are next to zero are no numbers of float16."""
    layer = convolution().to(dtype)
    layer.input_quantizer.exponents[0] = -30
    x = X.to(dtype)
    x[:, 0] *= 1e-7
    found = layer.input_quantizer(x)
    assert found.dtype == dtype and found.isfinite().all()
    layer(x).square().sum().backward()
    assert layer.weight.grad.isfinite().all()


def test_gradients_go_through_and_steps_stay():
    layer = convolution().train()
    x = X.clone().requires_grad_()
    layer(x).square().sum().backward()
    assert x.grad.abs().sum() > 0 and layer.weight.grad.abs().sum() > 0
    assert not layer.input_quantizer.alpha.requires_grad
    assert limit_resolutions(layer) == []


def test_state_comes_back():
    layer = convolution()
    other = quantize_(nn.Sequential(nn.Conv2d(4, 6, 3, padding=1)), dict(bit_width=4), BY_CHANNEL)[
        0
    ]
    with pytest.raises(UncalibratedError, match="0: the activation quantizer has seen no data"):
        other(X)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.input_quantizer(X), layer.input_quantizer(X))
    assert torch.equal(copy.deepcopy(layer)(X), layer(X))
