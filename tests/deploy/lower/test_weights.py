import itertools

import numpy as np
import pytest
import torch
from torch import nn

from lbwdet.deploy.lower.fuse import LayerParameters
from lbwdet.deploy.lower.weights import store_weights, uniform_codes
from lbwdet.errors import ArtifactError, ConfigError
from lbwdet.layers import quantize_

PLAIN = {"0": LayerParameters("0.weight", "0.bias", (3, 3))}


def conv(inputs=5, outputs=4):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3))


@pytest.mark.parametrize(
    ("bit_width", "code", "granularity"),
    [
        *itertools.product(range(1, 9), ("paper", "dense"), ("tensor", "channel")),
        *itertools.product((4, 5, 6), ("two-term",), ("tensor", "channel")),
    ],
)
def test_decodes_to_the_very_weights_of_training(bit_width, code, granularity):
    quant = dict(bit_width=bit_width, code=code, granularity=granularity)
    net = quantize_(conv(), weight=quant).eval()
    stored = store_weights(net, PLAIN)["0"]
    expected = net[0].fake_quantized_weight().detach().numpy()
    np.testing.assert_array_equal(stored.dequantize(), expected)
    assert stored.scale.shape == ((4,) if granularity == "channel" else (1,))
    assert (stored.bit_width, stored.code) == (bit_width, code)
    np.testing.assert_array_equal(stored.bias, net[0].bias.detach())
    assert (stored.gain == 1).all()


def test_a_linear_layer_gets_the_shape_of_its_map():
    net = quantize_(nn.Sequential(nn.Linear(2 * 3 * 4, 5)), weight=dict(bit_width=4)).eval()
    stored = store_weights(net, {"0": LayerParameters("0.weight", None, (3, 4))})["0"]
    assert stored.codes.shape == (5, 2, 3, 4) and (stored.bias == 0).all()
    flat = net[0].fake_quantized_weight().detach().numpy()
    np.testing.assert_array_equal(stored.dequantize().reshape(5, -1), flat)


def test_batch_norm_is_a_factor_and_a_bias():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    for tensor in (net[1].running_mean, net[1].weight.data, net[1].bias.data):
        tensor.normal_()
    net[1].running_var.uniform_(0.1, 2)
    norm = ("1.weight", "1.bias", "1.running_mean", "1.running_var")
    layer = LayerParameters("0.weight", "0.bias", (1, 1), norm, net[1].eps)
    stored = store_weights(net, {"0": layer})["0"]
    x = torch.randn(1, 3, 2, 2)
    raw = nn.functional.conv2d(x, net[0].weight)
    gain, bias = (torch.from_numpy(part).view(1, -1, 1, 1) for part in (stored.gain, stored.bias))
    torch.testing.assert_close(raw * gain + bias, net(x))


def test_float_layers_are_rounded_to_64_steps_of_each_channel():
    weight = np.random.default_rng(0).standard_normal((6, 3, 4, 5)).astype(np.float32)
    weight[1] *= 100
    weight[5] = 0
    codes, scale = uniform_codes(weight)
    assert codes.dtype == np.int8 and codes.shape == weight.shape
    assert (np.abs(codes[:5]).max((1, 2, 3)) == 64).all() and (codes[5] == 0).all()
    error = np.abs(codes * scale[:, None, None, None] - weight).max((1, 2, 3))
    assert (error <= 0.5001 * np.abs(weight).max((1, 2, 3)) / 64).all()
    stored = store_weights(conv(), PLAIN)["0"]
    assert (stored.code, stored.bit_width, stored.num_magnitudes) == ("uniform", 8, 0)


def test_what_cannot_be_stored():
    wide = quantize_(nn.Sequential(nn.Linear(140_000, 1)), weight=dict(bit_width=4, code="dense"))
    wide[0].weight.data.fill_(1)
    with pytest.raises(ArtifactError, match=r"0.*accumulator could reach"):
        store_weights(wide, {"0": LayerParameters("0.weight", "0.bias", (1, 1))})
    net = conv()
    net[0].weight.data[0] = torch.nan
    with pytest.raises(ConfigError, match="0: weights are NaN"):
        store_weights(net, PLAIN)
