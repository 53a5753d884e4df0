"""The two-term code against a search over every exponent in exact arithmetic."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lbwdet.errors import ConfigError
from lbwdet.quantizers import TwoTermQuantizer, build_quantizer
from lbwdet.quantizers.levels import TWO_TERM


def least_error(weights: list[float], numbers: tuple[int, ...], exponents: range) -> Fraction:
    exact = [abs(Fraction(weight)) for weight in weights]

    def error(exponent: int) -> Fraction:
        levels = [0, *(Fraction(2) ** exponent * number / numbers[-1] for number in numbers)]
        return sum((min((w - level) ** 2 for level in levels) for w in exact), start=Fraction(0))

    return min([*map(error, exponents), sum((w * w for w in exact), start=Fraction(0))])


@pytest.mark.parametrize("bit_width", TWO_TERM)
@given(st.lists(st.floats(-100, 100, width=16), min_size=1, max_size=12))
def test_no_exponent_is_better(bit_width, weights):
    quantizer = build_quantizer(bit_width, "two-term")
    assert isinstance(quantizer, TwoTermQuantizer)
    values = quantizer.fake_quantize(torch.tensor(weights)).tolist()
    error = sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(weights, values, strict=True))
    least = least_error(weights, TWO_TERM[bit_width], range(-34, 10))
    assert abs(error - least) <= least * Fraction(1, 10**12)


@pytest.mark.parametrize("bit_width", TWO_TERM)
def test_every_set_of_levels_stays_as_it_is(bit_width):
    quantizer = build_quantizer(bit_width, "two-term", granularity="channel")
    numbers = torch.tensor([0, *TWO_TERM[bit_width]]).float()
    chosen = numbers[torch.randint(len(numbers), (500, 4))] * 2.0 ** torch.randint(-9, 9, (500, 1))
    weight = chosen * torch.randn(500, 4).sign()
    assert torch.equal(quantizer.fake_quantize(weight), weight)
    assert torch.equal(quantizer.quantize(weight).dequantize(), weight)


def test_far_below_the_floor_of_single_powers():
    weight = torch.randn(20_000)

    def error(bit_width, code):
        levels = build_quantizer(bit_width, code).fake_quantize(weight)
        return float((weight - levels).square().sum() / weight.square().sum())

    assert error(6, "paper") > 0.035
    assert error(6, "two-term") < 0.006
    assert error(5, "two-term") < 0.008
    assert error(4, "two-term") < 0.025


@pytest.mark.parametrize("solver", ["threshold", "sort"])
def test_other_solvers_refuse_it(solver):
    with pytest.raises(ConfigError, match="does not know code='two-term'; use solver='exact'"):
        build_quantizer(6, "two-term", solver)
