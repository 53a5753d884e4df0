import copy
import gc
import math
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from mmcv.cnn import ConvAWS2d, fuse_conv_bn
from mmcv.ops import DeformConv2dPack
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.checkpoint import checkpoint

from lbwdet.errors import ConfigError
from lbwdet.layers import (
    QuantConv2d,
    QuantLinear,
    calibration,
    quantize_,
    quantized_layers,
    register_weight_reader,
)
from lbwdet.quantizers import NonFiniteWeightError, build_quantizer

SETTINGS = [
    dict(bit_width=1),
    dict(bit_width=2),
    dict(bit_width=4, code="dense"),
    dict(bit_width=6),
]


def projected(layer: nn.Module) -> torch.Tensor:
    """The weight that must be in use now, computed without any cache."""
    return layer.quantizer.fake_quantize(layer.weight, channel_axis=layer.channel_axis)


def weight_in_use(layer: nn.Module) -> torch.Tensor:
    """A linear layer's weight as its forward pass shows it."""
    bias = 0 if layer.bias is None else layer.bias
    return (layer(torch.eye(layer.in_features)) - bias).t()


class TestFloatMode:
    @pytest.mark.parametrize("bias", [True, False])
    def test_equals_torch_bit_for_bit(self, bias):
        pairs = [
            (nn.Conv2d(4, 6, 3, 2, 1, groups=2, bias=bias), torch.randn(2, 4, 9, 7)),
            (
                nn.Conv2d(4, 6, 3, padding=2, padding_mode="reflect", bias=bias),
                torch.randn(2, 4, 9, 7),
            ),
            (nn.Linear(5, 3, bias=bias), torch.randn(4, 5)),
        ]
        for plain, x in pairs:
            layer = quantize_(copy.deepcopy(plain), weight=dict(bit_width=32))
            assert torch.equal(layer(x), plain(x))
            for out in (layer, plain):
                out(x).square().sum().backward()
            assert torch.equal(layer.weight.grad, plain.weight.grad)

    def test_has_no_codes(self):
        with pytest.raises(ValueError, match="the layer is float"):
            QuantLinear(2, 2, bit_width=32).quantized_weight()

    def test_loads_the_state_dict_of_torch(self):
        plain, layer = nn.Conv2d(3, 4, 3), QuantConv2d(3, 4, 3, bit_width=4)
        assert layer.state_dict().keys() == plain.state_dict().keys()
        layer.load_state_dict(plain.state_dict())
        layer.quantizer = None
        x = torch.randn(1, 3, 8, 8)
        assert torch.equal(layer(x), plain(x))


class TestForwardAndGradient:
    @pytest.mark.parametrize("settings", SETTINGS)
    @pytest.mark.parametrize("granularity", ["tensor", "channel"])
    def test_convolution_at_the_quantized_weight(self, settings, granularity):
        layer = QuantConv2d(4, 6, 3, 2, 1, groups=2, **settings, granularity=granularity)
        leaf = projected(layer).requires_grad_()
        x, y = (torch.randn(2, 4, 9, 7).requires_grad_() for _ in range(2))
        y.data.copy_(x.data)
        out = layer(x)
        expected = F.conv2d(y, leaf, layer.bias.detach(), 2, 1, groups=2)
        assert torch.equal(out, expected)
        upstream = torch.randn_like(out)
        out.backward(upstream)
        expected.backward(upstream)
        assert torch.equal(layer.weight.grad, leaf.grad)
        assert torch.equal(x.grad, y.grad)
        torch.testing.assert_close(layer.bias.grad, upstream.sum((0, 2, 3)))

    @pytest.mark.parametrize("settings", SETTINGS)
    def test_linear_against_the_analytic_gradient(self, settings):
        layer = QuantLinear(5, 3, **settings)
        x, upstream = torch.randn(4, 5), torch.randn(4, 3)
        out = layer(x)
        torch.testing.assert_close(out, x @ projected(layer).t() + layer.bias)
        out.backward(upstream)
        torch.testing.assert_close(layer.weight.grad, upstream.t() @ x)

    def test_options_reach_the_quantizer(self):
        layer = QuantConv2d(1, 1, 1, bit_width=4, code="dense", solver="threshold", mu=0.5)
        assert (layer.quantizer.num_magnitudes, layer.quantizer.mu) == (7, 0.5)
        assert "bit_width=4" in repr(layer)

    def test_fake_quantized_weight_and_codes_agree(self):
        layer = QuantConv2d(3, 4, 3, bit_width=5, granularity="channel")
        assert torch.equal(layer.quantized_weight().dequantize(), layer.fake_quantized_weight())

    def test_non_finite_weights_name_the_layer(self):
        net = quantize_(nn.Sequential(nn.Linear(2, 2)), weight=dict(bit_width=4))
        net[0].weight.data[0, 0] = float("nan")
        with pytest.raises(NonFiniteWeightError, match=r"^0: 1 of 4 weights"):
            net(torch.zeros(1, 2))
        alone = QuantLinear(2, 3)
        alone.weight.data.fill_(float("inf"))
        with pytest.raises(
            NonFiniteWeightError, match=r"^QuantLinear\(in_features=2, out_features=3"
        ):
            alone(torch.zeros(1, 2))

    def test_bfloat16_autocast(self):
        layer = QuantConv2d(3, 4, 3, bit_width=4)
        x = torch.randn(1, 3, 6, 6)
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(x)
        # Powers of two are exact in bfloat16: only the input is rounded.
        expected = F.conv2d(x.bfloat16(), projected(layer).bfloat16(), layer.bias.bfloat16())
        assert out.dtype == torch.bfloat16
        assert torch.equal(out, expected)
        out.float().sum().backward()
        assert layer.weight.grad.dtype == torch.float32

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_modules_of_another_type(self, dtype):
        layer = QuantLinear(4, 3, bit_width=4).to(dtype)
        out = layer(torch.randn(2, 4, dtype=dtype))
        out.sum().backward()
        assert out.dtype == layer.weight.grad.dtype == dtype


class TestRelax:
    """The blend of BinaryRelax, (W + lambda * Q(W)) / (1 + lambda)."""

    @pytest.mark.parametrize("relax", [0.0, 1.0, 3.5, 200.0])
    def test_is_the_stated_blend_and_its_gradient_goes_to_the_master(self, relax):
        layer = QuantLinear(6, 4, bit_width=3)
        layer.relax = relax
        expected = (layer.weight + relax * projected(layer)) / (1 + relax)
        torch.testing.assert_close(layer.fake_quantized_weight(), expected)
        x, upstream = torch.randn(2, 6), torch.randn(2, 4)
        layer(x).backward(upstream)
        torch.testing.assert_close(layer.weight.grad, upstream.t() @ x)

    @pytest.mark.parametrize("relax", [math.inf, 1e30])
    def test_towards_infinity_it_is_the_projection_bit_for_bit(self, relax):
        layer = QuantLinear(6, 4, bit_width=3)
        layer.relax = relax
        assert torch.equal(layer.fake_quantized_weight(), projected(layer))

    def test_only_weights_in_training_are_blended(self):
        layer = QuantLinear(6, 4, bit_width=3)
        layer.relax = 1.0
        assert not torch.equal(layer.fake_quantized_weight(), projected(layer))
        assert torch.equal(layer.eval().fake_quantized_weight(), projected(layer))
        layer.train().weight.requires_grad_(False)
        assert torch.equal(layer.fake_quantized_weight(), projected(layer))
        assert torch.equal(layer.quantized_weight().dequantize(), projected(layer))

    def test_a_new_value_counts_at_once(self):
        layer = QuantLinear(6, 4, bit_width=3)
        weights = []
        for layer.relax in (1.0, 2.0, math.inf):
            weights.append(layer.fake_quantized_weight().clone())
        assert torch.equal(weights[2], projected(layer))
        assert not torch.equal(weights[0], weights[1])


class TestQuantizedInput:
    def test_convolution_of_quantized_input_and_weight(self):
        layer = QuantConv2d(4, 6, 3, bit_width=4, activation=dict(bit_width=3))
        x = torch.rand(2, 4, 6, 6)
        with calibration(layer):
            layer(x)
        quantizer = layer.input_quantizer
        expected = F.conv2d(
            quantizer.dequantize(quantizer.quantize(x)), projected(layer), layer.bias
        )
        assert torch.equal(layer(x), expected)

    def test_float_weights_with_quantized_input(self):
        layer = QuantLinear(4, 3, bit_width=32, activation=dict(bit_width=3))
        x = torch.rand(5, 4)
        with calibration(layer):
            layer(x)
        assert torch.equal(layer(x), F.linear(layer.input_quantizer(x), layer.weight, layer.bias))

    @pytest.mark.parametrize(
        "layer, name",
        [
            (nn.Conv2d(4, 6, 1), "input"),
            (nn.ConvTranspose2d(4, 6, 1), "input"),
            (DeformConv2dPack(4, 6, 1), "x"),
        ],
    )
    def test_an_input_may_be_named(self, layer, name):
        x, settings = torch.rand(2, 4, 5, 5), dict(bit_width=4)
        net = quantize_(nn.Sequential(layer), settings, activation=settings)
        with calibration(net):
            net(x)
        assert torch.equal(layer(**{name: x}), layer(x))

    def test_none_by_default(self):
        assert QuantLinear(4, 3).input_quantizer is None


class TestCache:
    """Whatever happens to the weight, the next forward pass uses its projection."""

    @pytest.fixture
    def layer(self):
        return QuantLinear(6, 4, bit_width=4)

    @pytest.fixture
    def count(self, monkeypatch):
        calls = []
        kind = type(build_quantizer(4))
        original = kind.fake_quantize

        def counted(self, *args, **kwargs):
            calls.append(1)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(kind, "fake_quantize", counted)
        return lambda: len(calls)

    def test_once_per_training_step(self, layer, count):
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        for step in range(1, 4):
            loss = sum(layer(torch.randn(2, 6)).sum() for _ in range(5))
            assert count() == step
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    def test_once_while_nothing_changes(self, layer, count):
        layer.eval()
        with torch.no_grad():
            for _ in range(3):
                layer(torch.randn(2, 6))
        layer.requires_grad_(False)
        layer(torch.randn(2, 6))
        assert count() == 1

    @pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
    def test_optimizer_step(self, layer, optimizer):
        optimizer = optimizer(layer.parameters(), lr=0.5)
        for _ in range(3):
            layer(torch.randn(2, 6)).square().sum().backward()
            optimizer.step()
            torch.testing.assert_close(weight_in_use(layer), projected(layer))

    def test_gradient_accumulation(self, layer):
        inputs = torch.randn(3, 2, 6)
        for x in inputs:
            layer(x).sum().backward()
        torch.testing.assert_close(layer.weight.grad, inputs.sum((0, 1)).expand(4, 6))

    def test_changes_in_place(self, layer):
        layer.eval()
        weight_in_use(layer)
        with torch.no_grad():
            layer.weight.mul_(-3)
        torch.testing.assert_close(weight_in_use(layer), projected(layer))
        layer.load_state_dict({"weight": torch.randn(4, 6), "bias": torch.zeros(4)})
        torch.testing.assert_close(weight_in_use(layer), projected(layer))

    def test_swapped_through_data_and_then_evaluated(self, layer):
        # as MMEngine's EMAHook does around a validation
        other = torch.randn(4, 6)
        weight_in_use(layer)
        mine = layer.weight.data.clone()
        layer.weight.data.copy_(other)
        layer.eval()
        with torch.no_grad():
            torch.testing.assert_close(weight_in_use(layer), layer.quantizer.fake_quantize(other))
        layer.weight.data.copy_(mine)
        layer.train()
        torch.testing.assert_close(weight_in_use(layer), layer.quantizer.fake_quantize(mine))

    def test_new_storage(self, layer):
        layer.eval()
        weight_in_use(layer)
        layer.weight.data = torch.randn(4, 6)
        torch.testing.assert_close(weight_in_use(layer), projected(layer))
        layer._parameters["weight"] = nn.Parameter(torch.randn(4, 6))  # as torch does itself
        torch.testing.assert_close(weight_in_use(layer), projected(layer))

    def test_new_quantizer(self, layer):
        layer.eval()
        weight_in_use(layer)
        layer.quantizer = build_quantizer(2)
        torch.testing.assert_close(weight_in_use(layer), projected(layer))

    def test_copies_have_no_cache_and_a_life_of_their_own(self, layer):
        weight_in_use(layer)
        other = copy.deepcopy(layer)
        assert other._cache is None
        with torch.no_grad():
            other.weight.add_(1.0)
        torch.testing.assert_close(weight_in_use(other), projected(other))
        torch.testing.assert_close(weight_in_use(layer), projected(layer))

    def test_to_another_type(self, layer):
        layer.eval()
        weight_in_use(layer)
        layer.double()
        assert layer(torch.randn(1, 6).double()).dtype == torch.float64

    @pytest.mark.parametrize("use_reentrant", [True, False])
    def test_gradient_checkpointing(self, layer, use_reentrant):
        x = torch.randn(2, 6, requires_grad=True)
        layer(x).square().sum().backward()
        expected = layer.weight.grad
        layer.weight.grad = None
        checkpoint(layer, x, use_reentrant=use_reentrant).square().sum().backward()
        assert torch.equal(layer.weight.grad, expected)

    def test_training_after_inference_mode(self, layer):
        with torch.inference_mode():
            layer(torch.randn(1, 6))
        layer(torch.randn(1, 6)).sum().backward()
        assert layer.weight.grad is not None

    def test_nothing_holds_on_to_a_layer_or_its_graph(self):
        layer = QuantLinear(6, 4, bit_width=4)
        out = layer(torch.randn(2, 6))
        references = [weakref.ref(layer), weakref.ref(layer.weight), weakref.ref(out)]
        gc.disable()  # reference counting alone must do
        try:
            del layer, out
            assert [reference() for reference in references] == [None] * 3
        finally:
            gc.enable()

    def test_nothing_is_left_after_backward(self):
        layer = QuantLinear(6, 4, bit_width=4)
        layer(torch.randn(2, 6)).sum().backward()
        assert layer._cache is None


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace")
def test_is_traced_with_its_weight_as_a_constant():
    """Counters of FLOPs trace; a float's bits, which the projection reads, have no operation."""
    torch.manual_seed(0)
    module = nn.Sequential(QuantConv2d(3, 8, 3), nn.ReLU(), QuantConv2d(8, 2, 1)).eval()
    image = torch.randn(1, 3, 8, 8)
    traced = torch.jit.trace(module, image)
    assert torch.equal(traced(image), module(image))
    module(image).sum().backward()  # and is trained afterwards
    assert module[0].weight.grad is not None


@pytest.mark.parametrize("fuse", [fuse_conv_bn, lambda net: fuse_conv_bn_eval(net[0], net[1])])
@pytest.mark.parametrize("kind", [nn.Conv2d, ConvAWS2d])
def test_a_batch_norm_is_not_multiplied_into_the_weight(fuse, kind):
    """The product would be on no grid, and be rounded to another one without a word."""
    net = nn.Sequential(kind(3, 4, 3, bias=False), nn.BatchNorm2d(4)).eval()
    net[1].weight.data.uniform_(0.5, 2)
    quantize_(net, weight=dict(bit_width=4))
    x = torch.randn(1, 3, 8, 8)
    expected = net(x)
    with pytest.raises(
        ConfigError, match=r"^0: the weight of a quantized layer cannot be replaced"
    ):
        fuse(net)
    assert torch.equal(net(x), expected)


def test_a_float_layer_of_a_quantized_model_may_get_another_weight():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)
    ).eval()
    quantize_(net, weight=dict(bit_width=4), keep_float=["0"])
    net[1].running_mean.normal_()
    x = torch.randn(1, 3, 8, 8)
    expected = net(x)
    torch.testing.assert_close(fuse_conv_bn(net)(x), expected)
    net[2].weight = net[2].weight  # its own


class Reading(nn.Module):
    """Computes with the weight of a layer below it."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(8, 8))

    def forward(self, x):
        return x @ self.inner[0].weight.T


@pytest.mark.parametrize(
    "made, inputs",
    [
        (lambda: nn.ConvTranspose2d(8, 8, 3), [torch.randn(1, 8, 6, 6)]),
        (lambda: nn.MultiheadAttention(8, 2), [torch.randn(5, 1, 8)] * 3),
        (Reading, [torch.randn(5, 8)]),
    ],
    ids=["transposed", "attention", "reader"],
)
def test_threads_share_a_layer(made, inputs, monkeypatch):
    """Each finds the float master weight while the other is in the midst of a forward pass."""
    monkeypatch.setattr("lbwdet.layers.weight_readers._READERS", {})
    register_weight_reader(f"{Reading.__module__}.{Reading.__qualname__}", "inner.0")
    net, both_inside = made(), Barrier(2)
    base = type(net)

    class Slow(base):
        def forward(self, *args):
            number = both_inside.wait(10)
            output = super().forward(*args)
            time.sleep(0.05 * number)
            return output

    net.__class__ = Slow
    quantize_(net, weight=dict(bit_width=2))
    masters = dict(net.named_parameters())
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda _: net(*inputs), range(2)))
    assert all(masters[name] is parameter for name, parameter in net.named_parameters())
    assert masters.keys() == dict(net.named_parameters()).keys()
    first, second = (out[0] if isinstance(out, tuple) else out for out in outputs)
    assert torch.equal(first, second)
    first.sum().backward()
    assert all(layer.weight.grad is not None for layer in quantized_layers(net).values())
