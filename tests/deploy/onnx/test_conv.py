import dataclasses

import numpy as np
import pytest
import torch

from lbwdet.deploy.onnx.conv import signed_integers
from lbwdet.deploy.runtime.context import LayerNumbers
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.quantization import Quantization

SEEDS = range(10)


def example(seed):
    return Conv.example(np.random.default_rng(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_convolution_is_a_step_away_at_most(run, case, seed):
    given = example(seed)
    made, q_x, q_y = case(given), given.quantizations["x"], given.quantizations.get("y")
    (found,), (expected,) = made.found(run), made.expected
    if q_y is None:
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-3)
        return
    steps = found.astype(int) - expected
    assert np.abs(steps).max() <= 1
    # Biases are whole units of the accumulator here: up to half of one away, which moves
    # so many of the values over the edge between two steps.
    layer = LayerNumbers.integer(given.weights["layer"])
    _, scale = signed_integers(layer, layer.bias, q_x.scale)
    unit = q_x.scale * scale[layer.factors.any((1, 2, 3))] / q_y.steps.min()
    assert (steps != 0).mean() <= unit.max(initial=0) / 2 + 0.002


@pytest.mark.parametrize("seed", SEEDS)
def test_of_reals_it_is_torchs_convolution(run, case, seed):
    given = example(seed)
    operation, weight = given.operation, given.weights["layer"]
    made = case(given, real=True)
    kernel = weight.dequantize() * weight.gain[:, None, None, None]
    steps = 2.0 ** -torch.tensor(operation.input_exponents or (0,)).float()
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(made.inputs["x"].copy()) * steps.reshape(-1, 1, 1),
        torch.from_numpy(kernel),
        torch.from_numpy(weight.bias),
        operation.stride,
        operation.padding,
        operation.dilation,
        operation.groups,
    )
    if operation.residual:
        r = torch.from_numpy(made.inputs["r"].copy())
        expected += torch.nn.functional.interpolate(r, size=expected.shape[2:], mode="nearest")
    expected = expected.relu() if operation.relu else expected
    if operation.function == "silu":
        expected = torch.nn.functional.silu(expected)
    (found,) = made.found(run)
    assert np.allclose(found, expected.numpy().transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


def test_a_layer_that_covers_its_input_is_fully_connected(run, case):
    side, inputs, outputs = (3, 2), 7, 5
    random = np.random.default_rng(0)
    weight = dataclasses.replace(
        example(0).weights["layer"],
        codes=random.integers(-1, 2, (outputs, inputs, *side)).astype(np.int8),
        scale=np.ones(1, np.float32),
        gain=random.normal(0, 0.1, outputs).astype(np.float32),
        bias=random.normal(0, 1, outputs).astype(np.float32),
    )
    quantizations = {"x": Quantization(0.03125, 9), "y": Quantization(0.0625, 100)}
    x = random.integers(0, 256, (4, *side, inputs)).astype(np.uint8)
    operation = Conv("layer", "x", "y", side)
    made = case(Example(operation, {"x": x}, quantizations, {"layer": weight}))
    assert {"Gemm", "Conv"} & {node.op_type for node in made.model.graph.node} == {"Gemm"}
    (found,), (expected,) = made.found(run), made.expected
    assert found.shape == (4, 1, 1, outputs)
    steps = found.astype(int) - expected
    assert np.abs(steps).max() <= 1 and (steps != 0).mean() < 0.2


class TestSignedIntegers:
    def test_the_gain_goes_into_the_scale(self):
        weight = example(2).weights["layer"]
        plain = LayerNumbers.integer(weight)
        integers, scale = signed_integers(plain, plain.bias, 0.02)
        assert integers.dtype == np.int8 and scale.dtype == np.float32 and (scale > 0).all()
        found = integers * scale[:, None, None, None].astype(np.float64)
        expected = plain.factors * (plain.scale * plain.gain)[:, None, None, None]
        assert np.allclose(found, expected, rtol=1e-6)
        largest = np.abs(integers.astype(int)).reshape(len(scale), -1).max(1)
        assert ((largest > 32) & (largest <= 64)).all()
        assert (weight.gain < 0).any()

    def test_a_gain_of_almost_nothing_leaves_the_bias_whole(self):
        layer = LayerNumbers.integer(example(2).weights["layer"])
        gain = np.where(np.arange(len(layer.gain)) % 2, 0, 1e-25).astype(np.float32)
        bias = np.full(len(gain), -7.5, np.float32)
        integers, scale = signed_integers(dataclasses.replace(layer, gain=gain), bias, 0.02)
        assert not integers.any()
        assert (np.abs(bias / (0.02 * scale.astype(np.float64))) < 2**31 - 1).all()

    def test_a_channel_of_zeros_keeps_its_bias(self):
        layer = LayerNumbers(
            factors=np.zeros((2, 3, 1, 1), np.int8),
            scale=np.ones(2),
            gain=np.full(2, 1e6, np.float32),
            bias=np.array([0.03, -7.5], np.float32),
        )
        _, scale = signed_integers(layer, layer.bias, 0.02)
        unit = 0.02 * scale.astype(np.float64)
        assert np.allclose(np.rint(layer.bias / unit) * unit, layer.bias, rtol=1e-6)
        assert (np.abs(layer.bias / unit) < 2**31 - 1).all()
