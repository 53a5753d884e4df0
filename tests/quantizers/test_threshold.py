import math
from fractions import Fraction

import pytest
import torch

from lbwdet.quantizers import PowerOfTwoQuantizer, ThresholdQuantizer


def literal(weights: list[float], number: int, mu: float) -> list[float]:
    """The formulas of the paper, word by word, in exact arithmetic."""
    values = [Fraction(w) for w in weights]
    threshold = Fraction(mu) * max(abs(w) for w in values)
    level: list[int | None] = []
    for w in values:
        found = None
        for t in range(number - 1):
            upper = Fraction(2) ** (1 - t) * threshold
            if Fraction(1, 2**t) * threshold <= abs(w) and (t == 0 or abs(w) < upper):
                found = t
        lowest = Fraction(2) ** (2 - number)
        if found is None and lowest / 3 * threshold <= abs(w) < lowest * threshold:
            found = number - 1
        level.append(found)
    used = [(t, abs(w)) for t, w in zip(level, values, strict=True) if t is not None]
    numerator = 4 * sum(w / 2**t for t, w in used)
    denominator = 3 * sum(Fraction(1, 4**t) for t, _ in used)
    quotient = numerator / denominator
    scale = math.floor(math.log2(quotient))
    scale += (Fraction(2) ** (scale + 1) <= quotient) - (Fraction(2) ** scale > quotient)
    return [
        0.0 if t is None else math.copysign(2.0 ** (scale - t), w)
        for t, w in zip(level, weights, strict=True)
    ]


@pytest.mark.parametrize(
    "bit_width, code", [(3, "paper"), (3, "dense"), (4, "dense"), (6, "paper")]
)
@pytest.mark.parametrize("mu", [0.75, 1.0, 0.4, 1 / 3])
def test_equals_the_literal_scheme(bit_width, code, mu):
    quantizer = ThresholdQuantizer(bit_width, code, mu=mu)
    for size in (1, 2, 5, 40, 200):
        for weight in (
            torch.randn(size),
            torch.randn(size) ** 5,
            torch.randint(-6, 7, (size,)) / 8,
        ):
            if not weight.any():
                continue
            expected = literal(weight.tolist(), quantizer.num_magnitudes, mu)
            assert quantizer.fake_quantize(weight.float()).tolist() == expected


def test_the_default_mu():
    weight = torch.randn(100)
    one, other = ThresholdQuantizer(4), ThresholdQuantizer(4, mu=0.75)
    assert torch.equal(one.fake_quantize(weight), other.fake_quantize(weight))


def test_is_never_better_than_the_exact_solution_and_stays_in_reach_at_many_levels():
    weight = torch.randn(5000)

    def error(quantizer):
        return (weight - quantizer.fake_quantize(weight)).square().sum() / weight.square().sum()

    for bit_width in (3, 4, 5, 6):
        assert error(PowerOfTwoQuantizer(bit_width)) <= error(ThresholdQuantizer(bit_width))
    # METHODS, section 1: .050 against .042 on Gaussian weights at four bits
    assert error(ThresholdQuantizer(4)) < 1.6 * error(PowerOfTwoQuantizer(4))
