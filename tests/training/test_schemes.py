import math

import pytest
import torch

from lbwdet.errors import ConfigError
from lbwdet.training.schemes import (
    BCGD,
    SCHEMES,
    BinaryRelax,
    Projection,
    blend_,
    build_scheme,
    describe_scheme,
)


def test_lambda_of_binary_relax_is_the_stated_one():
    scheme, epoch, total = BinaryRelax(), 10, 80
    values = [scheme.relax(iteration, epoch, total) for iteration in range(total)]
    expected = [1.02 ** (iteration // 5) for iteration in range(60)]
    assert values == expected + [math.inf] * 20


@pytest.mark.parametrize("settings", [dict(lambda0=2.0), dict(growth=1.5), dict(phase_2=0.5)])
def test_settings_of_binary_relax(settings):
    scheme = BinaryRelax(**settings)
    assert scheme.relax(0, 7, 100) == settings.get("lambda0", 1.0)
    assert scheme.relax(49, 7, 100) == pytest.approx(
        settings.get("lambda0", 1.0) * settings.get("growth", 1.02) ** 14
    )
    assert scheme.relax(50, 7, 100) == (
        math.inf if "phase_2" in settings else scheme.relax(49, 7, 100)
    )


def test_an_odd_number_of_iterations_per_epoch():
    scheme = BinaryRelax(growth=2, phase_2=1)
    values = [scheme.relax(iteration, 3, 9) for iteration in range(9)]
    # Half epochs of one and a half iterations.
    assert values == [1, 1, 2, 4, 4, 8, 16, 16, 32]


def test_a_growth_beyond_all_numbers():
    assert BinaryRelax(growth=1e300, interval=0.01).relax(5, 1, 100) == math.inf


@pytest.mark.parametrize("scheme", [Projection(), BCGD(rho=0.5)])
def test_the_others_compute_at_the_projection(scheme):
    assert {scheme.relax(iteration, 3, 9) for iteration in range(9)} == {math.inf}


def test_blend():
    weight, quantized = torch.randn(50), torch.randn(50)
    before = weight.clone()
    for rho in (0.0, 1e-5, 0.25, 1.0):
        weight.copy_(before)
        assert blend_(weight, quantized, rho) is weight
        torch.testing.assert_close(weight, (1 - rho) * before + rho * quantized)
    assert torch.equal(weight, quantized)


@pytest.mark.parametrize("kind", SCHEMES)
def test_settings_round_trip(kind):
    scheme = build_scheme(kind)
    assert scheme.type == kind and build_scheme(**describe_scheme(scheme)) == scheme
    assert len({build_scheme(other) for other in SCHEMES}) == len(SCHEMES)


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(type="sgd"), "'sgd' is not known; choose one of projection, bcgd, binary_relax"),
        (dict(type="bcgd", lamda=1), r"'bcgd' does not take \['lamda'\]; it takes rho"),
        (dict(rho=1), r"'projection' does not take \['rho'\]; it has no settings"),
        (dict(type="bcgd", rho=-1e-5), "rho=-1e-05 is not possible; use 0 to 1"),
        (dict(type="bcgd", rho="1e-5"), "rho='1e-5' is not possible"),
        (dict(type="binary_relax", growth=0.9), "growth=0.9 is not possible; use 1 or more"),
        (dict(type="binary_relax", lambda0=math.nan), "lambda0=nan"),
        (dict(type="binary_relax", interval=0), "interval=0"),
        (dict(type="binary_relax", phase_2=1.5), "phase_2=1.5"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        build_scheme(**settings)
