import copy

import pytest
import torch
from mmcv.cnn.bricks import Conv2d as MMCVConv2d
from mmcv.cnn.bricks import ConvModule
from mmcv.cnn.bricks.conv_ws import ConvWS2d
from mmengine.model import initialize
from torch import nn

from lbwdet.errors import ConfigError
from lbwdet.layers import (
    QuantConv2d,
    QuantLinear,
    activation_keys,
    calibration,
    describe_quantization,
    described_settings,
    input_quantizers,
    quantizable_layers,
    quantize_,
    quantized_layers,
    unquantized_weights,
)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(8, 2),
    )


def bit_widths(net: nn.Module) -> dict[str, int]:
    return {name: layer.quantizer.bit_width for name, layer in quantized_layers(net).items()}


class TestSwap:
    def test_parameters_and_keys_stay(self):
        net = network()
        parameters = [id(parameter) for parameter in net.parameters()]
        state = {name: value.clone() for name, value in net.state_dict().items()}
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        assert quantize_(net, weight=dict(bit_width=4)) is net
        assert [id(parameter) for parameter in net.parameters()] == parameters
        assert list(net.state_dict()) == list(state)
        assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
        net(torch.randn(2, 3, 3, 3)).sum().backward()
        optimizer.step()
        assert not torch.equal(net[0].weight, state["0.weight"])

    def test_classes(self):
        net = quantize_(network(), weight=dict(bit_width=4))
        assert type(net[0]) is QuantConv2d and type(net[4]) is QuantLinear
        assert type(net[1]) is nn.BatchNorm2d
        assert list(bit_widths(net)) == ["0", "2.0", "4"]

    def test_hooks_and_training_mode_stay(self):
        net = network().eval()
        seen = []
        net[0].register_forward_hook(lambda *_: seen.append(True))
        quantize_(net, weight=dict(bit_width=4))
        net(torch.randn(1, 3, 3, 3))
        assert seen and not net[0].training

    def test_a_layer_by_itself(self):
        layer = quantize_(nn.Linear(3, 2), weight=dict(bit_width=3))
        assert bit_widths(layer) == {"": 3}

    def test_again_with_other_settings(self):
        net = quantize_(network(), weight=dict(bit_width=4))
        x = torch.randn(1, 3, 3, 3)
        net.eval()(x)
        quantize_(net, weight=dict(bit_width=2), keep_float=["4"])
        assert bit_widths(net) == {"0": 2, "2.0": 2}
        fresh = quantize_(copy.deepcopy(net), weight=dict(bit_width=2), keep_float=["4"])
        assert torch.equal(net(x), fresh(x))

    def test_32_bits_are_the_float_network(self):
        net = network().eval()
        x = torch.randn(1, 3, 3, 3)
        expected = net(x)
        quantize_(net, weight=dict(bit_width=6))
        assert not torch.equal(net(x), expected)
        quantize_(net, weight=dict(bit_width=32), keep_float=["4"])
        assert torch.equal(net(x), expected)
        assert quantized_layers(net) == {} == describe_quantization(net)


class TestOtherLayers:
    @pytest.mark.parametrize(
        "layer, shape, channel_axis",
        [
            (nn.Conv1d(4, 6, 3), (2, 4, 8), 0),
            (nn.Conv3d(4, 6, 2), (2, 4, 3, 3, 3), 0),
            (nn.ConvTranspose1d(4, 6, 3), (2, 4, 8), 1),
            (nn.ConvTranspose2d(4, 6, 3, stride=2), (2, 4, 5, 5), 1),
            (nn.ConvTranspose3d(4, 6, 2), (2, 4, 3, 3, 3), 1),
            (MMCVConv2d(4, 6, 3), (2, 4, 5, 5), 0),
            (ConvWS2d(4, 6, 3), (2, 4, 5, 5), 0),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
    )
    def test_keep_their_own_forward(self, layer, shape, channel_axis):
        plain, x = copy.deepcopy(layer), torch.randn(shape)
        quantize_(layer, weight=dict(bit_width=4, granularity="channel"))
        with torch.no_grad():
            plain.weight.copy_(
                layer.quantizer.fake_quantize(plain.weight, channel_axis=channel_axis)
            )
        assert layer.quantized_weight().scale.numel() == 6
        assert torch.equal(layer(x), plain(x))
        for module in (layer, plain):
            module(x).square().sum().backward()
        assert torch.equal(layer.weight.grad, plain.weight.grad)
        assert isinstance(layer.weight, nn.Parameter)
        assert isinstance(copy.deepcopy(layer), type(plain))
        quantize_(layer, weight=dict(bit_width=32))
        assert torch.equal(layer(x), type(plain).forward(layer, x))

    def test_the_parameter_is_back_after_an_error(self):
        layer = quantize_(nn.ConvTranspose2d(4, 6, 3), weight=dict(bit_width=4))
        weight = layer.weight
        with pytest.raises(RuntimeError):
            layer(torch.randn(1, 5, 4, 4))
        assert layer.weight is weight

    def test_one_class_for_each_base_class(self):
        net = quantize_(nn.Sequential(nn.Conv1d(1, 1, 1), nn.Conv1d(1, 1, 1)), dict(bit_width=4))
        assert type(net[0]) is type(net[1])
        assert type(net[0]).__name__ == "QuantConv1d"

    @pytest.mark.parametrize("make", [nn.Conv2d, MMCVConv2d, ConvWS2d, nn.ConvTranspose2d])
    @pytest.mark.parametrize("layer", ["Conv2d", "ConvWS2d", "ConvTranspose2d"])
    def test_mmengine_initialises_what_it_would_initialise_in_the_float_net(self, make, layer):
        float_net = nn.Sequential(make(3, 4, 3))
        net = quantize_(copy.deepcopy(float_net), weight=dict(bit_width=4))
        for each in (float_net, net):
            initialize(each, dict(type="Constant", layer=layer, val=0.5))
        assert torch.equal(net[0].weight, float_net[0].weight)

    def test_parametrized_layers_stay_float(self):
        normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        net = quantize_(nn.Sequential(normed, nn.Linear(4, 2)), weight=dict(bit_width=4))
        assert list(quantized_layers(net)) == ["1"]
        assert "0.parametrizations.weight.original1" in unquantized_weights(net)
        net(torch.randn(1, 4))


class TestActivation:
    def test_settings_reach_each_layer(self):
        net = quantize_(
            network(),
            weight=dict(bit_width=4),
            activation=dict(bit_width=4, ste="relu"),
            keep_float=["0"],
            overrides={
                "2.0": dict(activation={}),
                "4": dict(bit_width=6, activation=dict(bit_width=5)),
            },
        )
        settings = {
            name.removesuffix(".input_quantizer"): (q.settings.bit_width, q.settings.ste)
            for name, q in input_quantizers(net).items()
        }
        assert settings == {"2.0": (4, "relu"), "4": (5, "relu")}
        assert bit_widths(net) == {"2.0": 4, "4": 6}
        assert describe_quantization(net)["4"] == (
            "6bit paper exact tensor input 5bit, signed 8bit"
        )
        assert [q.layer_name for q in input_quantizers(net).values()] == ["2.0", "4"]

    def test_overrides_switch_it_on_and_off(self):
        net = quantize_(
            network(),
            dict(bit_width=4),
            activation=dict(bit_width=8),
            overrides={"0": dict(activation=None)},
        )
        assert list(input_quantizers(net)) == ["2.0.input_quantizer", "4.input_quantizer"]
        net = quantize_(
            network(), dict(bit_width=4), overrides={"0": dict(activation=dict(bit_width=8))}
        )
        assert list(input_quantizers(net)) == ["0.input_quantizer"]

    def test_only_activation_keys_are_added(self):
        plain = network()
        net = quantize_(copy.deepcopy(plain), dict(bit_width=4), activation=dict(bit_width=8))
        added = set(net.state_dict()) - set(plain.state_dict())
        assert added == activation_keys(net) and len(added) == 9
        net.load_state_dict(plain.state_dict(), strict=True)

    def test_again(self):
        net = quantize_(network(), dict(bit_width=4), activation=dict(bit_width=8))
        x = torch.randn(2, 3, 3, 3)
        with calibration(net):
            net(x)
        alpha = net[4].input_quantizer.alpha
        quantize_(net, dict(bit_width=3), activation=dict(bit_width=8))
        assert net[4].input_quantizer.alpha is alpha and net[4].input_quantizer.is_calibrated
        quantize_(net, dict(bit_width=3), activation=dict(bit_width=4))
        assert not net[4].input_quantizer.is_calibrated
        quantize_(net, dict(bit_width=3))
        assert input_quantizers(net) == {} and net[4].input_quantizer is None
        net(x)

    @pytest.mark.parametrize(
        "layer, shape",
        [(nn.ConvTranspose2d(4, 6, 3), (2, 4, 5, 5)), (nn.Conv1d(4, 6, 3), (2, 4, 8))],
    )
    def test_layers_with_their_own_forward(self, layer, shape):
        plain, x = copy.deepcopy(layer), torch.rand(shape)
        quantize_(layer, dict(bit_width=32), activation=dict(bit_width=2))
        with calibration(layer):
            layer(x)
        assert torch.equal(layer(x), plain(layer.input_quantizer(x)))

    def test_attention_keeps_its_inputs(self):
        net = nn.TransformerEncoderLayer(8, 2, 16)
        quantize_(net, dict(bit_width=4), activation=dict(bit_width=8))
        names = [name.removesuffix(".input_quantizer") for name in input_quantizers(net)]
        assert names == ["linear1", "linear2"]
        x = torch.randn(3, 1, 8)
        with calibration(net):
            net(x)
        net(x).sum().backward()

    def test_errors_leave_the_network_as_it_was(self):
        net = network()
        with pytest.raises(ConfigError, match="activation bit_width=12 is not supported"):
            quantize_(net, dict(bit_width=4), activation=dict(bit_width=12))
        assert type(net[0]) is nn.Conv2d


class TestPatterns:
    def test_keep_float_and_overrides(self):
        net = quantize_(
            network(),
            weight=dict(bit_width=6, code="dense"),
            keep_float=["0"],
            overrides={"2.*": dict(bit_width=8), "2.0": dict(code="paper")},
        )
        assert describe_quantization(net) == {
            "2.0": "8bit paper exact tensor",
            "4": "6bit dense exact tensor",
        }
        assert list(unquantized_weights(net)) == ["0.weight"]

    def test_stars_match_dots(self):
        assert list(bit_widths(quantize_(network(), dict(bit_width=4), keep_float=["*0"]))) == ["4"]

    def test_a_lone_pattern(self):
        net = quantize_(network(), dict(bit_width=4), keep_float="2.*")
        assert list(bit_widths(net)) == ["0", "4"]

    def test_an_override_to_float(self):
        net = quantize_(network(), dict(bit_width=4), overrides={"4": dict(bit_width=32)})
        assert list(bit_widths(net)) == ["0", "2.0"]

    @pytest.mark.parametrize(
        "arguments, message",
        [
            (
                dict(keep_float=["fc"]),
                "pattern 'fc' matches no layer of Sequential; its layers are 0, 2.0, 4",
            ),
            (dict(overrides={"x*": {}}), r"pattern 'x\*' matches no layer"),
            (dict(keep_float=["*"]), "leaves no layer of Sequential to quantize"),
            (
                dict(weight=dict(bits=4)),
                r"unknown weight settings \['bits'\]; choose from bit_width",
            ),
            (dict(weight=dict(bit_width=9)), "bit_width=9 is not supported; choose 1 to 8, or 32"),
            (dict(overrides={"4": dict(solver="best")}), "solver='best' is not known"),
        ],
    )
    def test_errors_leave_the_network_as_it_was(self, arguments, message):
        net = network()
        with pytest.raises(ConfigError, match=message):
            quantize_(net, **{"weight": dict(bit_width=4), **arguments})
        assert type(net[0]) is nn.Conv2d

    def test_nothing_to_quantize(self):
        with pytest.raises(ConfigError, match="ReLU has no convolution or linear layer"):
            quantize_(nn.ReLU(), weight=dict(bit_width=4))


def test_quantizable_layers_are_named_with_dots():
    assert [name for name, _ in quantizable_layers(network())] == ["0", "2.0", "4"]


def test_a_convolution_is_not_multiplied_with_its_batch_norm():
    """mmcv's ``efficient_conv_bn_eval`` reads the float weight past the layer."""
    module = ConvModule(3, 4, 3, norm_cfg=dict(type="BN"), efficient_conv_bn_eval=True).eval()
    image = torch.randn(1, 3, 8, 8)
    plain = module(image)
    quantized = quantize_(module, weight=dict(bit_width=2))(image)
    assert not torch.equal(quantized, plain)
    expected = module.norm(module.conv(image)).relu()
    assert torch.equal(quantized, expected)


@pytest.mark.parametrize(
    "settings",
    [
        dict(bit_width=4, code="dense", solver="exact", granularity="channel"),
        dict(bit_width=6, code="two-term", solver="exact", granularity="tensor"),
        dict(bit_width=2, code="paper", solver="sort", granularity="tensor"),
    ],
    ids=str,
)
def test_settings_come_back_from_their_words(settings):
    for activation in (None, dict(bit_width=8)):
        layer = quantize_(nn.Sequential(nn.Linear(2, 2)), settings, activation)
        assert described_settings(describe_quantization(layer)["0"]) == settings


@pytest.mark.parametrize("words", ["float", "4bit paper threshold tensor", ""])
def test_words_that_do_not_say_the_settings(words):
    with pytest.raises(ConfigError, match="does not say how a weight is projected"):
        described_settings(words)
