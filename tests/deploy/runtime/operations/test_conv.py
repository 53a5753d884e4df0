import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lbwdet.deploy.runtime.alone import NativeAlone, compute_alone, run_alone
from lbwdet.deploy.runtime.arithmetic.convolution import convolve
from lbwdet.deploy.runtime.arithmetic.silu import silu
from lbwdet.deploy.runtime.context import LayerNumbers, Run
from lbwdet.deploy.runtime.native_library import NativeError, library_path
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.deploy.testing import random_weight
from tests.deploy.runtime.native_cases import ISAS

SEEDS = range(120)


def example(seed):
    return Conv.example(np.random.default_rng(seed))


def accumulators(operation, integers, x, zero_point):
    """The same in torch's int64 arithmetic: [n, h, w, o]."""
    value = torch.from_numpy(x.astype(np.int64) - zero_point).permute(0, 3, 1, 2)
    found = torch.nn.functional.conv2d(
        value,
        torch.from_numpy(integers.astype(np.int64)),
        stride=operation.stride,
        padding=operation.padding,
        dilation=operation.dilation,
        groups=operation.groups,
    )
    return found.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_step_of_a_random_convolution(seed):
    case = example(seed)
    operation, weight, quantizations = case.operation, case.weights["layer"], case.quantizations
    integers = weight.integers()
    q_x, q_y, q_r = (quantizations.get(name) for name in "xyr")
    acc = accumulators(operation, integers.integers, case.values["x"], q_x.zero_point)
    centered = case.values["x"].astype(np.float32) - np.float32(q_x.zero_point)
    window = operation.stride, operation.padding, operation.dilation, operation.groups
    assert np.array_equal(convolve(integers.integers, centered, *window), acc)
    found = compute_alone(case)
    assert found.shape == acc.shape
    assert found.dtype == (np.float32 if q_y is None else np.uint8)

    # what follows, number by number, each rounded to float32 by itself
    f32, plain = np.float32, operation.function == "identity"
    steps = np.broadcast_to(q_y.steps if q_y else 1.0, len(weight.gain))
    for index in np.ndindex(*acc.shape):
        image, row, column, channel = index
        gain, bias = float(weight.gain[channel]), float(weight.bias[channel])
        s_y = steps[channel] if plain else 1.0
        multiplier = f32(q_x.scale * integers.scale[channel] * gain / s_y)
        t = f32(f32(acc[index]) * multiplier) + f32(bias / s_y)
        if q_y is None:
            assert found[index] == (max(t, f32(0)) if operation.relu else t)
            continue
        if not plain:
            t = silu(np.array([t]))[0] * f32(1 / steps[channel])
        if operation.residual:
            r = case.values["r"]
            if operation.upsample:
                row = row * r.shape[1] // acc.shape[1]
                column = column * r.shape[2] // acc.shape[2]
            ratio = f32(np.broadcast_to(q_r.steps, len(steps))[channel] / steps[channel])
            t = t + f32(f32(int(r[image, row, column, channel]) - q_r.zero_point) * ratio)
        q = (np.ceil(t) if q_y.rounding == "ceil" else np.rint(t)) + q_y.zero_point
        low = q_y.zero_point if operation.relu else 0
        assert found[index] == min(max(q, low), q_y.maximum)


def test_the_random_cases_meet_everything():
    cases = [example(seed) for seed in SEEDS]
    met = {
        (case.operation.relu, case.operation.residual, case.operation.upsample, "y" in values)
        for case in cases
        for values in [case.quantizations]
    }
    assert (
        len(met) == 8
    )  # residual or not, upsampled or not, float or not, each with and without ReLU
    assert {case.operation.stride for case in cases} == {(1, 1), (2, 2), (2, 1)}
    assert {case.weights["layer"].code for case in cases} == {"paper", "dense", "uniform"}
    assert any(case.weights["layer"].integers().dropped for case in cases)
    assert {case.operation.dilation for case in cases} == {(1, 1), (2, 2), (1, 3)}
    assert {case.values["x"].shape[0] for case in cases} == {1, 2}
    assert {case.quantizations["x"].maximum for case in cases} == {15, 255}
    assert len({(case.operation.function, case.operation.residual) for case in cases}) == 4
    added = [case.quantizations for case in cases if case.operation.residual]
    assert {q["r"].exponents == q["y"].exponents for q in added} == {True, False}
    assert {bool(case.operation.input_exponents) for case in cases} == {True, False}
    outputs = [case.quantizations["y"] for case in cases if "y" in case.quantizations]
    assert {bool(q.exponents) for q in outputs} == {True, False}
    assert {q.rounding for q in outputs} == {"nearest", "ceil"}


def test_no_boxes_no_output():
    case = example(0)
    values = {name: value[:0] for name, value in case.values.items()}
    expected = compute_alone(case)
    found = compute_alone(replace(case, values=values))
    assert found.shape == (0, *expected.shape[1:]) and found.dtype == expected.dtype


def test_in_reals_before_it_is_calibrated():
    """As torch has it, with the weights that training used: even where integers drop levels."""
    for seed in range(20):
        case = example(seed)
        operation, weight = case.operation, case.weights["layer"]
        random = np.random.default_rng(seed)
        values = {
            name: random.normal(0, 1, value.shape).astype(np.float32)
            for name, value in case.values.items()
        }
        run = Run({}, {"layer": LayerNumbers.real(weight)}, case.image)
        run.values.update(values)
        found = operation.compute(run)
        steps = 2.0 ** np.array(operation.input_exponents or (0,))
        expected = torch.nn.functional.conv2d(
            torch.from_numpy((values["x"] / steps).astype(np.float32)).permute(0, 3, 1, 2),
            torch.from_numpy(weight.dequantize() * weight.gain.reshape(-1, 1, 1, 1)),
            torch.from_numpy(weight.bias),
            operation.stride,
            operation.padding,
            operation.dilation,
            operation.groups,
        )
        if operation.function == "silu":
            expected = torch.nn.functional.silu(expected)
        if operation.residual:
            residual = torch.from_numpy(values["r"]).permute(0, 3, 1, 2)
            if operation.upsample:
                residual = torch.nn.functional.interpolate(residual, size=expected.shape[2:])
            expected = expected + residual
        if operation.relu:
            expected = expected.relu()
        assert found.dtype == np.float32
        assert np.allclose(found, expected.permute(0, 2, 3, 1).numpy(), atol=1e-4)


def test_another_convolution_may_be_quicker():
    case, calls = example(1), []

    def recording(*arguments):
        calls.append(arguments[2:])
        return convolve(*arguments)

    layers = {"layer": LayerNumbers.integer(case.weights["layer"])}
    run = Run(case.quantizations, layers, case.image, recording)
    run.values.update(case.values)
    assert np.array_equal(case.operation.compute(run), compute_alone(case))
    operation = case.operation
    assert calls == [(operation.stride, operation.padding, operation.dilation, operation.groups)]


def test_a_fully_connected_layer():
    random = np.random.default_rng(0)
    weight = random_weight(random, (6, 3, 5, 5), 4)
    x = random.integers(0, 256, (4, 5, 5, 3)).astype(np.uint8)
    quantizations = {"x": Quantization(0.0625, 100)}
    found = compute_alone(
        Example(Conv("fc", "x", "y", (5, 5)), {"x": x}, quantizations, {"fc": weight})
    )
    flat = ((x - 100.0) * 0.0625).transpose(0, 3, 1, 2).reshape(4, -1)
    expected = flat @ weight.dequantize().reshape(6, -1).T * weight.gain + weight.bias
    assert found.shape == (4, 1, 1, 6)
    assert np.allclose(found[:, 0, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 19])
@pytest.mark.parametrize("isa", ISAS)
def test_a_relu_leaves_no_negative_zero(groups, isa):
    """Of 0 times a negative gain; 19 channels are no whole vectors."""
    gain, codes = -np.ones(19, np.float32), np.ones((19, 19 // groups, 1, 1), np.int8)
    weight = StoredWeight(codes, np.ones(1, np.float32), "uniform", 8, 0, gain, 0 * gain)
    operation = Conv("layer", "x", "y", (1, 1), relu=True, groups=groups)
    x = np.zeros((1, 1, 5, 19), np.uint8)
    case = Example(operation, {"x": x}, {"x": Quantization(1.0)}, {"layer": weight})
    assert run_alone(case, isa=isa).tobytes() == compute_alone(case).tobytes() == bytes(4 * x.size)


def with_residual(groups, width):
    """Two outputs of each group; the group's input is a channel."""
    gain, codes = np.ones(2 * groups, np.float32), np.ones((2 * groups, 1, 1, 1), np.int8)
    weight = StoredWeight(codes, np.ones(1, np.float32), "uniform", 8, 0, gain, 0 * gain)
    operation = Conv("layer", "x", "y", (1, 1), groups=groups, residual="r")
    values = {
        "x": np.zeros((1, 1, width, groups), np.uint8),
        "r": np.zeros((1, 1, width, 2 * groups), np.uint8),
    }
    return Example(operation, values, dict.fromkeys("xry", Quantization(1.0)), {"layer": weight})


@pytest.mark.skipif(library_path() is None, reason="the native engine is not built")
def test_memory_of_a_residuals_offsets_is_counted():
    case = with_residual(1, 100_000)  # of 500 kB in all three maps
    with pytest.raises(NativeError, match="more than the limit of 1000 KiB"):
        run_alone(case, memory_limit=1000 << 10)
    assert not run_alone(case, memory_limit=1400 << 10).any()


@pytest.mark.skipif(library_path() is None or sys.platform != "linux", reason="Linux' own numbers")
def test_groups_take_the_memory_of_one_at_a_time():
    def kilobytes(what):
        return int(re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())[1])

    with NativeAlone(with_residual(256, 4000)) as engine:
        engine.run()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = kilobytes("VmRSS")
        engine.run()
        assert kilobytes("VmHWM") - before < 4000  # offsets of all would be 8000


@pytest.mark.parametrize("isa", ISAS)
def test_no_engine_keeps_more_than_is_counted(isa):
    most = 0.0
    for seed in range(60):
        case = example(seed)
        counted = case.operation.packed_bytes(case.weights)
        with NativeAlone(case, isa=isa) as engine:
            most = max(most, engine.weight_bytes() / counted)
    assert 0.1 < most < 1


@pytest.mark.parametrize(
    ("shape", "groups", "bytes_per_weight"),
    [
        ((64, 64, 1, 1), 1, 1),
        ((64, 64, 3, 3), 1, 8),  # as Winograd has them
        ((1, 64, 11, 11), 1, 32),  # one channel of a whole vector
        ((512, 1, 32, 32), 256, 64),
        ((512, 1, 3, 3), 512, 48 / 9),
    ],
)
def test_what_an_engine_may_make_of_a_weight(shape, groups, bytes_per_weight):
    codes = np.zeros(shape, np.int8)
    weight = replace(random_weight(np.random.default_rng(0), (1, 1, 1, 1), 4), codes=codes)
    counted = Conv("layer", "x", "y", shape[2:], groups=groups).packed_bytes({"layer": weight})
    assert bytes_per_weight <= counted / codes.size < 1.4 * bytes_per_weight + 1


def window_of_nine(weights, x, **fields):
    """A depthwise layer of a window of 3 x 3; weights: [channels, 9]."""
    weights = np.array(weights, np.int8)
    channels = len(weights)
    ones, codes = np.ones(channels, np.float32), weights.reshape(channels, 1, 3, 3)
    weight = StoredWeight(codes, np.ones(1, np.float32), "uniform", 8, 0, ones, 0 * ones)
    operation = Conv("layer", "x", "y", (3, 3), groups=channels, **dict(padding=(1, 1)) | fields)
    quantizations = {"x": Quantization(1.0, 3), "y": Quantization(64.0, 128)}
    return Example(operation, {"x": x}, quantizations, {"layer": weight})


def equal(case, isa):
    return run_alone(case, isa=isa).tobytes() == compute_alone(case).tobytes()


# By the line of three weights that fits int16, the first of rows and columns.
LINES = {
    "none": [64] * 9,
    "row 0": [43, 43, 42] * 3,  # just so
    "row 1": [-64, -64, -1, -64, 64, 64, 64, 64, 64],
    "row 2": [64, 64, 1, 64, 64, 1, -64, -64, 0],
    "column 0": [2, 64, 63] * 3,
    "column 1": [64, 2, 63] * 3,
    "column 2": [-64, -63, -2] * 3,
}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("isa", ISAS)
def test_nine_weights_at_the_limit_of_int16(line, isa):
    x = np.full((1, 4, 5, 32), 255, np.uint8)
    assert equal(window_of_nine([LINES[line]] * 32, x), isa)


@pytest.mark.parametrize("channels", [3, 16, 17, 48, 64])
@pytest.mark.parametrize("fields", [{}, dict(stride=(2, 2)), dict(dilation=(1, 3))])
@pytest.mark.parametrize("isa", ISAS)
def test_windows_of_nine(channels, fields, isa):
    """Small weights, large ones, of which no line fits int16, and blocks of several lines."""
    random = np.random.default_rng(channels)
    x = random.integers(0, 256, (1, 7, 11, channels)).astype(np.uint8)
    lines = np.array([*LINES.values()])[1:]
    for weights in (
        random.integers(-20, 21, (channels, 9)),
        random.choice([-64, -63, -50, 50, 61, 64], (channels, 9)),
        lines[np.arange(channels) // 16 % len(lines)],
        np.roll(lines, 3, axis=0)[np.arange(channels) // 32 % len(lines)],
    ):
        assert equal(window_of_nine(weights, x, **fields), isa)
