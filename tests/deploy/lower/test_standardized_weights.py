"""Weight standardization at low bits beside the layers themselves."""

import dataclasses

import numpy as np
import pytest
import torch
from mmcv.cnn.bricks.conv_ws import ConvAWS2d, ConvWS2d
from mmcv.ops.saconv import SAConv2d
from torch import nn

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.fusions import FUSIONS
from lbwdet.deploy.lower.standardized_weights import standardized_weights
from lbwdet.deploy.lower.trace import float_layers
from lbwdet.deploy.runtime.context import LayerNumbers, Run
from lbwdet.errors import ConfigError
from lbwdet.layers import quantize_


def net(kind, groups=1, weight=None):
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 8, 3, stride=2),
        nn.ReLU(),
        kind(8, 4, 3, 1, 1, groups=groups),
        kind(4, 6, 1, groups=groups, bias=False),
    ]
    built = nn.Sequential(*layers)
    for layer in built[2:]:
        if kind is ConvAWS2d:
            layer.weight_gamma.uniform_(0.5, 1.5)
            layer.weight_beta.normal_(0, 0.1)
    return quantize_(built, weight=weight or dict(bit_width=4, code="dense")).eval()


@pytest.mark.parametrize("kind", [ConvWS2d, ConvAWS2d])
@pytest.mark.parametrize("groups", [1, 2])
@torch.no_grad()
def test_same_as_with_the_standardized_weight(kind, groups):
    model, x = net(kind, groups), torch.randn(1, 3, 17, 16)
    expected = model(x)
    before = kind.forward
    with standardized_weights(model):
        assert kind.forward is not before
        torch.testing.assert_close(model(x), expected, atol=1e-4, rtol=1e-4)
    assert kind.forward is before


def switchable(deform, activation=None):
    torch.manual_seed(0)
    layer = SAConv2d(4, 6, 3, stride=2, padding=1, bias=False, use_deform=deform)
    for parameter in layer.parameters():
        parameter.data.normal_(0, 0.3)
    layer.weight_gamma.uniform_(0.5, 1.5)
    weight = dict(bit_width=4, code="dense")
    return quantize_(nn.Sequential(layer), weight=weight, activation=activation).eval()


@pytest.mark.parametrize("deform", [False, True])
@torch.no_grad()
def test_switchable_atrous_convolutions(deform):
    model, x = switchable(deform), torch.randn(1, 4, 12, 15)
    expected = model(x)
    with standardized_weights(model):
        torch.testing.assert_close(model(x), expected, atol=1e-4, rtol=1e-4)
    program = Building(model, FUSIONS)
    (output,) = program.trace(lambda m, x: m(x), x, "input")
    run = Run({}, layers_of(program), np.zeros((1, 1, 3), np.uint8))
    run.values["input"] = x.permute(0, 2, 3, 1).numpy()
    for operation in program.operations:
        run.values[operation.written] = operation.compute(run)
    found = torch.from_numpy(run.values[output]).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    kinds = [type(operation).__name__ for operation in program.operations]
    assert kinds.count("DeformedSamples") == (2 if deform else 0)  # each read by three layers


def layers_of(program):
    """As training has them: what is float there is not rounded."""
    found = {name: LayerNumbers.real(weight) for name, weight in program.weights.items()}
    return found | {
        name: dataclasses.replace(found[name], factors=weight)
        for name, weight in program.floats.items()
    }


def test_a_switch_behind_quantized_activations_is_refused():
    model = switchable(False, activation=dict(bit_width=8))
    with pytest.raises(ConfigError, match=r"keep it in float"):
        Building(model, FUSIONS).trace(lambda m, x: m(x), torch.randn(1, 4, 12, 15), "input")


@torch.no_grad()
def test_float_layers_standardize_as_ever():
    model, x = net(ConvWS2d), torch.randn(1, 3, 17, 16)
    with float_layers(model):
        expected = model(x)
        with standardized_weights(model):
            torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("groups", [1, 2])
@torch.no_grad()
def test_the_layers_keep_the_weights_of_training(groups):
    model, x = net(ConvWS2d, groups), torch.randn(1, 3, 17, 16)
    program = Building(model, FUSIONS)
    (output,) = program.trace(lambda m, x: m(x), x, "input")
    layers = {name: LayerNumbers.real(weight) for name, weight in program.weights.items()}
    run = Run({}, layers, np.zeros((1, 1, 3), np.uint8))
    run.values["input"] = x.permute(0, 2, 3, 1).numpy()
    for operation in program.operations:
        run.values[operation.written] = operation.compute(run)
    found = torch.from_numpy(run.values[output]).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, model(x), atol=1e-4, rtol=1e-4)
    assert [type(operation).__name__ for operation in program.operations] == ["Conv"] * 7
    residuals = [operation.residual for operation in program.operations]
    assert sum(residual is not None for residual in residuals) == 2
    codes = [weight.code for weight in program.weights.values()]
    assert codes.count("dense") == 3 and codes.count("uniform") == 4
    for name, weight in program.weights.items():
        if weight.code == "dense":
            layer = model.get_submodule(name.partition(":")[0])
            expected = layer.fake_quantized_weight().detach().numpy()
            assert (weight.dequantize() == expected).all()
