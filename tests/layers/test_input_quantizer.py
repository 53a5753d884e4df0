import copy

import pytest
import torch
from torch import nn

from lbwdet.errors import ConfigError
from lbwdet.layers import (
    InputQuantizer,
    QuantConv2d,
    ResolutionError,
    UncalibratedError,
    calibration,
)
from lbwdet.layers.build_input_quantizer import build_input_quantizer
from lbwdet.quantizers import (
    ActivationSettings,
    NonFiniteActivationError,
    quantized_relu,
    uniform_quantize,
)

# What an image reader, a convolution after a ReLU and one after anything else see.
POSITIVE, BOTH = torch.rand(2, 4, 5, 5), torch.randn(2, 4, 5, 5)


def calibrated(data: torch.Tensor, **settings) -> InputQuantizer:
    quantizer = InputQuantizer(ActivationSettings(**settings), "neck.conv")
    with calibration(quantizer):
        assert torch.equal(quantizer(data), data)
    return quantizer


class TestKind:
    def test_never_negative(self):
        quantizer = calibrated(POSITIVE, bit_width=3)
        assert quantizer.unsigned and not quantizer.signed
        assert (quantizer.bit_width, int(quantizer.zero_point)) == (3, 0)
        expected = quantized_relu(POSITIVE, quantizer.scale, 3)
        assert torch.equal(quantizer(POSITIVE), expected)

    @pytest.mark.parametrize("symmetric", [True, False])
    def test_both_signs(self, symmetric):
        quantizer = calibrated(BOTH, bit_width=3, signed_bit_width=5, symmetric=symmetric)
        assert quantizer.signed and quantizer.bit_width == 5
        assert (int(quantizer.zero_point) == 16) or not symmetric
        expected = uniform_quantize(BOTH, quantizer.scale, int(quantizer.zero_point), 5)
        assert torch.equal(quantizer(BOTH), expected)

    def test_is_fixed_once_calibrated(self):
        quantizer = calibrated(POSITIVE)
        quantizer(BOTH)
        assert quantizer.unsigned

    @pytest.mark.parametrize("data", [POSITIVE, BOTH])
    @pytest.mark.parametrize("bit_width", [2, 4, 8])
    def test_codes_are_worth_the_values_of_training(self, data, bit_width):
        quantizer = calibrated(data, bit_width=bit_width, signed_bit_width=bit_width)
        codes = quantizer.quantize(3 * data)
        assert codes.dtype == torch.uint8 and int(codes.max()) == 2**bit_width - 1
        assert torch.equal(quantizer.dequantize(codes), quantizer(3 * data))


class TestErrors:
    def test_no_data_yet(self):
        quantizer = InputQuantizer(ActivationSettings(), "neck.conv")
        for use in (quantizer, quantizer.quantize):
            with pytest.raises(UncalibratedError, match=r"^neck\.conv: .*ActivationHook"):
                use(POSITIVE)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_non_finite_input_names_the_layer(self, value):
        quantizer, x = calibrated(POSITIVE), POSITIVE.clone()
        x[0, 0, 0, 0] = value
        for use in (quantizer, quantizer.quantize):
            with pytest.raises(NonFiniteActivationError, match=r"^neck\.conv: 1 of 200 values"):
                use(x)
        with pytest.raises(NonFiniteActivationError), calibration(quantizer):
            quantizer(x)

    @pytest.mark.parametrize("alpha", [0.0, -0.1, float("inf"), float("nan")])
    def test_a_resolution_that_collapsed_or_exploded(self, alpha):
        quantizer = calibrated(POSITIVE)
        with torch.no_grad():
            quantizer.alpha.fill_(alpha)
        for use in (quantizer, quantizer.quantize):
            with pytest.raises(ResolutionError, match=rf"^neck\.conv: .* is {alpha:g}, "):
                use(POSITIVE)

    def test_unknown_settings(self):
        with pytest.raises(ConfigError, match=r"unknown activation settings \['bits'\]; choose"):
            build_input_quantizer(nn.Linear(2, 2), dict(bits=4))


@pytest.mark.parametrize("values", [POSITIVE, BOTH], ids=["unsigned", "signed"])
def test_nothing_found_in_an_image_without_objects(values):
    """The gradient is zero and not missing: distributed training waits for it."""
    quantizer = calibrated(values)
    empty = torch.zeros(0, 4, 5, 5, requires_grad=True)
    out = quantizer(empty)
    assert out.shape == empty.shape
    out.sum().backward()
    assert empty.grad.shape == empty.shape and quantizer.alpha.grad == 0


class TestAlpha:
    def test_learns_at_a_hundredth(self):
        quantizer = calibrated(BOTH, signed_bit_width=4)
        leaf = quantizer.scale.requires_grad_()
        upstream = 1e-3 * torch.randn_like(BOTH)
        uniform_quantize(BOTH, leaf, int(quantizer.zero_point), 4).backward(upstream)
        quantizer(BOTH).backward(upstream)
        torch.testing.assert_close(quantizer.alpha.grad, 0.01 * leaf.grad)
        assert 0 < abs(quantizer.alpha.grad.item()) < 1

    def test_gradient_is_clipped(self):
        quantizer = calibrated(POSITIVE, bit_width=4)
        for sign in (1, -1):
            quantizer.alpha.grad = None
            quantizer(POSITIVE).sum().mul(sign * 1e4).backward()
            assert quantizer.alpha.grad.item() == sign
        quantizer.alpha.grad, quantizer.gradient_limit = None, 64.0
        quantizer(POSITIVE).sum().mul(1e4).backward()
        assert quantizer.alpha.grad.item() == 64

    def test_a_frozen_one_gets_none(self):
        quantizer = calibrated(POSITIVE).requires_grad_(False)
        x = POSITIVE.clone().requires_grad_()
        quantizer(x).sum().backward()
        assert quantizer.alpha.grad is None and x.grad is not None


class TestState:
    def test_comes_back(self):
        quantizer = calibrated(BOTH)
        other = InputQuantizer(ActivationSettings())
        other.load_state_dict(quantizer.state_dict(), strict=True)
        assert other.is_calibrated and torch.equal(other(BOTH), quantizer(BOTH))
        assert torch.equal(copy.deepcopy(quantizer)(BOTH), quantizer(BOTH))

    def test_one_of_a_float_model_loads(self):
        layer = QuantConv2d(4, 4, 3, activation=dict(bit_width=8))
        float_state = nn.Conv2d(4, 4, 3).state_dict()
        layer.load_state_dict(float_state, strict=True)
        assert torch.equal(layer.weight, float_state["weight"])
        assert not layer.input_quantizer.is_calibrated

    def test_half_of_one_does_not(self):
        layer = QuantConv2d(4, 4, 3, activation=dict(bit_width=8))
        state = layer.state_dict()
        del state["input_quantizer.alpha"]
        with pytest.raises(RuntimeError, match=r"input_quantizer\.alpha"):
            layer.load_state_dict(state, strict=True)


@pytest.mark.parametrize("channels, bit_width", [(1, 8), (3, 8), (4, 2)])
def test_images_take_8_bits(channels, bit_width):
    settings = dict(bit_width=2, signed_bit_width=2, symmetric=True)
    quantizer = build_input_quantizer(nn.Conv2d(channels, 4, 3), settings)
    assert (quantizer.settings.bit_width, quantizer.settings.signed_bit_width) == (bit_width,) * 2
    assert quantizer.settings.symmetric == (bit_width == 2)
    assert build_input_quantizer(nn.Linear(3, 4), settings).settings.bit_width == 2


def test_bfloat16_input_is_compared_in_float32():
    quantizer = calibrated(POSITIVE, bit_width=8)
    x = POSITIVE.bfloat16()
    out = quantizer(x)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, quantized_relu(x.float(), quantizer.scale, 8).bfloat16())
