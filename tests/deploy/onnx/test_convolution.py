import dataclasses

import numpy as np
import pytest
import torch
from lbwdet.deploy.runtime.reference.convolution import conv as reference
from lbwdet.deploy.runtime.reference.pooling import max_pool as reference_pool
from onnx import TensorProto

from lbwdet.deploy.onnx.convolution import conv, max_pool, signed_integers
from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations import Conv, MaxPool, Quantization
from lbwdet.deploy.testing import random_conv_case

SEEDS = range(24)


def real(value, quantization):
    """The float32 [n, c, h, w] that an engine reads from stored values [n, h, w, c]."""
    centred = value.astype(np.float32) - np.float32(quantization.zero_point)
    return (centred * np.float32(quantization.scale)).transpose(0, 3, 1, 2)


def graph_of(case, quantizations):
    graph = Graph()
    values = Values(graph, quantizations)
    inputs = {}
    for name in case.values:
        graph.input(name, TensorProto.FLOAT, [f"{name}_{axis}" for axis in "nchw"])
        values.write(name, name)
        inputs[name] = real(case.values[name], case.quantizations[name])
    conv(graph, case.operation, case.weight, values)
    graph.output("out", TensorProto.FLOAT, list("nchw"), values.read("y"))
    return graph.model({}), inputs


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_convolution_is_a_step_away_at_most(run, seed):
    case = random_conv_case(seed)
    q_y = case.quantizations.get("y")
    model, inputs = graph_of(case, case.quantizations)
    (found,) = run(model, inputs)
    expected = reference(
        case.operation, case.weight, case.weight.integers(), case.quantizations, case.values
    )
    if q_y is None:
        assert np.allclose(found.transpose(0, 2, 3, 1), expected, rtol=1e-4, atol=1e-3)
        return
    steps = np.rint(found.transpose(0, 2, 3, 1) / q_y.scale) + q_y.zero_point - expected
    assert np.abs(steps).max() <= 1
    # Biases are whole units of the accumulator here: up to half of one away, which moves
    # so many of the values over the edge between two steps.
    _, scale = signed_integers(case.weight, case.quantizations["x"].scale)
    unit = case.quantizations["x"].scale * scale / q_y.scale
    assert (steps != 0).mean() <= unit.max() / 2 + 0.002


@pytest.mark.parametrize("seed", SEEDS)
def test_with_float_activations_it_is_torchs_convolution(run, seed):
    case = random_conv_case(seed)
    operation, weight = case.operation, case.weight
    model, inputs = graph_of(case, {})
    (found,) = run(model, inputs)
    integers = weight.integers()
    kernel = integers.integers * (integers.scale * weight.gain)[:, None, None, None]
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(inputs["x"]),
        torch.from_numpy(kernel.astype(np.float32)),
        torch.from_numpy(weight.bias),
        operation.stride,
        operation.padding,
        operation.dilation,
    )
    if operation.residual:
        r = torch.from_numpy(inputs["r"])
        expected += torch.nn.functional.interpolate(r, size=expected.shape[2:], mode="nearest")
    expected = expected.relu() if operation.relu else expected
    assert np.allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4)


def test_a_layer_that_covers_its_input_is_fully_connected(run):
    case = random_conv_case(0)
    side, inputs, outputs = (3, 2), 7, 5
    random = np.random.default_rng(0)
    weight = dataclasses.replace(
        case.weight,
        codes=random.integers(-1, 2, (outputs, inputs, *side)).astype(np.int8),
        scale=np.ones(1, np.float32),
        gain=random.normal(0, 0.1, outputs).astype(np.float32),
        bias=random.normal(0, 1, outputs).astype(np.float32),
    )
    quantizations = {"x": Quantization(0.03125, 9), "y": Quantization(0.0625, 100)}
    x = random.integers(0, 256, (4, *side, inputs)).astype(np.uint8)
    operation = Conv("layer", "x", "y", side)
    graph = Graph()
    graph.input("x", TensorProto.FLOAT, [4, inputs, *side])
    values = Values(graph, quantizations)
    values.write("x", "x")
    values.sides["x"] = side
    conv(graph, operation, weight, values)
    assert values.sides["y"] == (1, 1)
    graph.output("out", TensorProto.FLOAT, [4, outputs], values.read("y"))
    (found,) = run(graph.model({}), {"x": real(x, quantizations["x"])})
    expected = reference(operation, weight, weight.integers(), quantizations, {"x": x})
    steps = np.rint(found / 0.0625) + 100 - expected[:, 0, 0]
    assert np.abs(steps).max() <= 1 and (steps != 0).mean() < 0.2


class TestSignedIntegers:
    def test_the_gain_goes_into_the_scale(self):
        weight = random_conv_case(3).weight
        integers, scale = signed_integers(weight, 0.02)
        assert integers.dtype == np.int8 and scale.dtype == np.float32 and (scale > 0).all()
        found = integers * scale[:, None, None, None].astype(np.float64)
        plain = weight.integers()
        expected = plain.integers * (plain.scale * weight.gain)[:, None, None, None]
        assert np.allclose(found, expected, rtol=1e-6)
        largest = np.abs(integers.astype(int)).reshape(len(scale), -1).max(1)
        assert ((largest > 32) & (largest <= 64)).all()
        assert (weight.gain < 0).any()

    def test_a_gain_of_almost_nothing_leaves_the_bias_whole(self):
        weight = random_conv_case(3).weight
        gain = np.where(np.arange(len(weight.gain)) % 2, 0, 1e-25).astype(np.float32)
        bias = np.full(len(gain), -7.5, np.float32)
        weight = dataclasses.replace(weight, gain=gain, bias=bias)
        integers, scale = signed_integers(weight, 0.02)
        assert not integers.any()
        assert (np.abs(bias / (0.02 * scale.astype(np.float64))) < 2**31 - 1).all()


@pytest.mark.parametrize("kernel", [(3, 3), (1, 1)])
def test_pooling_changes_no_number(run, kernel):
    quantization = Quantization(float(np.float32(0.013)), 77)
    x = np.random.default_rng(0).integers(0, 256, (1, 9, 12, 5)).astype(np.uint8)
    padding = (kernel[0] // 2, kernel[1] // 2)
    operation = MaxPool("x", "y", kernel, (2, 2), padding)
    graph = Graph()
    graph.input("x", TensorProto.FLOAT, [1, 5, 9, 12])
    values = Values(graph, {"x": quantization, "y": quantization})
    values.write("x", "x")
    max_pool(graph, operation, values)
    graph.output("out", TensorProto.FLOAT, list("nchw"), values.read("y"))
    (found,) = run(graph.model({}), {"x": real(x, quantization)})
    assert np.array_equal(found, real(reference_pool(operation, x), quantization))
