import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lbwdet.deploy.runtime.arithmetic.functions import FUNCTIONS, erf, softplus

TORCH = {
    "identity": ((), lambda x: x),
    "relu": ((), F.relu),
    "clamp": ((-1.25, 2.5), torch.clamp),
    "leaky_relu": ((0.1,), F.leaky_relu),
    "elu": ((1.5,), F.elu),
    "sigmoid": ((), torch.sigmoid),
    "exp": ((), lambda x: x.clamp(-80, 80).exp()),
    "silu": ((), F.silu),
    "tanh": ((), torch.tanh),
    "gelu": ((), F.gelu),
    "gelu_tanh": ((), lambda x: F.gelu(x, approximate="tanh")),
    "hard_sigmoid": ((), F.hardsigmoid),
    "hard_swish": ((), F.hardswish),
    "mish": ((), F.mish),
    "affine": ((-0.75, 0.3), lambda x, factor, offset: x * factor + offset),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_those_of_torch(name):
    parameters, expected = TORCH[name]
    assert len(FUNCTIONS[name].parameters) == len(parameters)
    x = np.concatenate([np.linspace(-40, 40, 80_001), [-700.0, -100.0, 100.0, 700.0]])
    found = FUNCTIONS[name].of(x, *parameters)
    wanted = expected(torch.from_numpy(x), *parameters).numpy()
    assert found.dtype == np.float64 and found.shape == x.shape
    assert np.allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_each_has_its_counterpart():
    assert set(TORCH) == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_argument_is_too_large(name):
    """Reals of a map go far beyond those that occur in training."""
    x = np.array([-255 * 2.0**126, -1e6, 1e6, 255 * 2.0**126])
    with np.errstate(all="raise", under="ignore"):
        found = FUNCTIONS[name].of(x, *TORCH[name][0])
    assert np.isfinite(found).all()
    assert np.allclose(found, TORCH[name][1](torch.from_numpy(x), *TORCH[name][0]).numpy())


def test_zero():
    at_zero = {name: float(f.of(np.zeros(1), *TORCH[name][0])[0]) for name, f in FUNCTIONS.items()}
    others = {"sigmoid": 0.5, "hard_sigmoid": 0.5, "exp": 1.0, "affine": 0.3}
    assert at_zero == {name: others.get(name, 0.0) for name in FUNCTIONS}


def test_erf():
    x = np.linspace(-10, 10, 2001)
    assert np.allclose(erf(x), [math.erf(value) for value in x], rtol=1e-13, atol=1e-13)


def test_softplus():
    x = np.linspace(-60, 60, 2001)
    expected = [max(value, 0) + math.log1p(math.exp(-abs(value))) for value in x]
    # What is lost next to the 1 of 1 + exp(x) is lost for good.
    assert np.allclose(softplus(x), expected, rtol=1e-13, atol=1e-15)
