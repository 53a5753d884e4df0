"""From 8 bits to what a layer was trained with: as if the real number had been rounded once."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.lookup import Lookup, requantize
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

UNIT = Quantization(1.0)
steps = st.floats(1e-3, 1e3).map(np.float32).map(float)
seeds = st.integers(0, 2**32 - 1)
roundings = st.sampled_from(["nearest", "ceil"])


def codes(values, q):
    """The integers of real numbers."""
    steps = np.ceil(values / q.scale) if q.rounding == "ceil" else np.rint(values / q.scale)
    return np.clip(steps + q.zero_point, 0, q.maximum).astype(np.uint8)


def real(integers, q):
    """What integers stand for."""
    return (integers.astype(np.float64) - q.zero_point) * q.scale


def table(source, target):
    return requantize("x", "y").table(source, target)


def quantizations(maximum):
    return st.builds(Quantization, steps, st.integers(0, maximum), st.just(maximum), roundings)


def away_from_edges(values, quantization):
    """Those whose integer does not hang on the last bits of a step."""
    ratio = values / quantization.scale
    edges = np.round(2 * ratio) / 2
    return values[np.abs(ratio - edges) > 1e-4]


@given(steps, st.integers(1, 40), st.sampled_from([1, 3, 15, 31]), seeds)
def test_rounding_up_twice_is_rounding_up_once(step, parts, maximum, seed):
    wanted = Quantization(step, 0, maximum, "ceil")
    stored = Quantization(float(np.float32(step / parts)), 0, 255, "ceil")
    values = np.random.default_rng(seed).uniform(-step, 255 / parts * step, 500)
    values = away_from_edges(values, stored)
    found = table(stored, wanted)[codes(values, stored)]
    assert np.array_equal(found, codes(values, wanted))


@given(steps, st.integers(0, 8), st.integers(0, 15), seeds)
def test_so_is_rounding_to_the_nearest_with_odd_parts(step, half, zero_point, seed):
    parts = 2 * half + 1
    wanted = Quantization(step, zero_point, 15)
    stored = Quantization(float(np.float32(step / parts)), 120, 255)
    values = np.random.default_rng(seed).uniform(-120 / parts * step, 135 / parts * step, 500)
    values = away_from_edges(values, stored)
    found = table(stored, wanted)[codes(values, stored)]
    assert np.array_equal(found, codes(values, wanted))


@given(quantizations(255), quantizations(15), seeds)
def test_any_steps(stored, wanted, seed):
    found = table(stored, wanted)
    assert found.dtype == np.uint8 and found.shape == (256,)
    assert found.max() <= wanted.maximum and (np.diff(found.astype(int)) >= 0).all()
    assert found[stored.zero_point] == wanted.zero_point  # maps are padded with zeros
    # An integer's reals lie within a step around or below it; the table takes one of them,
    # and rounding is monotone.
    low, high = -stored.zero_point * stored.scale, (255 - stored.zero_point) * stored.scale
    values = np.random.default_rng(seed).uniform(low, high, 500)
    mapped = real(found[codes(values, stored)], wanted)
    below, above = (real(codes(values + shift * stored.scale, wanted), wanted) for shift in (-1, 1))
    assert (below <= mapped).all() and (mapped <= above).all()


def test_the_middle_of_what_a_number_stands_for():
    up = Quantization(1.0, 0, 15, "ceil")
    # 5 stands for 4.5 to 5.5 steps of 0.25, or for 4 to 5: middles 1.25 and 1.125
    nearest = table(Quantization(0.25), up)
    assert nearest[[0, 1, 4, 5, 8, 9]].tolist() == [0, 1, 1, 2, 2, 3]
    other = Quantization(0.3125, 0, 255, "ceil")
    assert table(other, up)[[0, 1, 3, 4, 6, 7]].tolist() == [0, 1, 1, 2, 2, 3]
    signed = table(Quantization(0.5, 100), Quantization(1.0, 8, 15))
    assert signed[[0, 97, 98, 99, 100, 101, 102, 103, 255]].tolist() == [
        *[0, 6, 7, 8, 8, 8, 9, 10, 15]  # halves to the even integer
    ]


FUNCTIONS = {
    "relu": ((), F.relu),
    "clamp": ((-0.5, 1.5), torch.clamp),
    "leaky_relu": ((0.1,), F.leaky_relu),
    "elu": ((1.0,), F.elu),
    "sigmoid": ((), torch.sigmoid),
    "exp": ((), torch.exp),
    "silu": ((), F.silu),
    "tanh": ((), torch.tanh),
    "gelu": ((), F.gelu),
    "hard_sigmoid": ((), F.hardsigmoid),
    "hard_swish": ((), F.hardswish),
    "mish": ((), F.mish),
}


@pytest.mark.parametrize("rounding", ["nearest", "ceil"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_table_is_the_function_of_torch_within_one_step(name, rounding):
    parameters, function = FUNCTIONS[name]
    stored = Quantization(0.046875, 100)
    wanted = Quantization(0.0234375, 40, 255, rounding)
    found = Lookup("x", "y", name, parameters).table(stored, wanted)
    reals = real(np.arange(256), stored)
    expected = codes(function(torch.from_numpy(reals), *parameters).numpy(), wanted)
    assert found.dtype == np.uint8 and len(set(found.tolist())) > 20
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.mean(found != expected) < 0.02  # where the last bits decide


def test_every_entry_by_hand():
    x, y = Quantization(0.03125, 100, 255, "ceil"), Quantization(0.0625, 30, 200)
    found = Lookup("x", "y", "leaky_relu", (0.25,)).table(x, y)
    for q in range(256):
        middle = q - 100 if q == 100 else q - 100 - 0.5
        value = middle * 0.03125
        value = value if value > 0 else value * 0.25
        assert found[q] == min(max(round(value / 0.0625) + 30, 0), 200)


def test_a_map_is_looked_up():
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)
    quantizations = {"x": Quantization(0.05, 120), "y": Quantization(1 / 256, 0)}
    operation = Lookup("x", "y", "sigmoid")
    found = compute_alone(Example(operation, {"x": x}, quantizations))
    table = operation.table(quantizations["x"], quantizations["y"])
    assert found.dtype == np.uint8
    for index in np.ndindex(*x.shape):
        assert found[index] == table[x[index]]


def test_in_reals_before_it_is_calibrated():
    operation, x = Lookup("x", "y", "silu"), np.linspace(-5, 5, 24).astype(np.float32)
    x = x.reshape(1, 2, 3, 4)
    found = compute_alone(Example(operation, {"x": x}))
    assert found.dtype == np.float32
    assert np.allclose(found, F.silu(torch.from_numpy(x)).numpy(), atol=1e-6)
    wanted = Quantization(0.03125, 9)
    quantized = compute_alone(Example(operation, {"x": x}, {"y": wanted}))
    exact = F.silu(torch.from_numpy(x.astype(np.float64))).numpy()
    assert np.array_equal(quantized, codes(exact, wanted))


@pytest.mark.parametrize(
    ("function", "parameters", "message"),
    [
        ("sine", (), "the function 'sine' is not known; there are identity, relu, clamp, "),
        ("relu", (1.0,), r"relu takes 0 parameters; given are \[1.0\]"),
        ("clamp", (1.0,), r"clamp takes 2 parameters; given are \[1.0\]"),
        ("clamp", (1.0, 1e9), "parameters is 1000000000.0; allowed is -1e"),
    ],
)
def test_functions_that_are_none(function, parameters, message):
    values, quantizations = {"x": np.zeros((1, 2, 3, 4), np.uint8)}, dict.fromkeys("xy", UNIT)
    with pytest.raises(ArtifactError, match=rf"^operation 0 \(Lookup\): {message}"):
        check_alone(Example(Lookup("x", "y", function, parameters), values, quantizations))
