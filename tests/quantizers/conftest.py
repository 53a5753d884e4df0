"""Independent computations that the quantizers are held against."""

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest
import torch

from tests.quantizers.repeated import records  # noqa: F401  (a fixture)

Oracle = Callable[..., Fraction]


def _error(weights: Sequence[Fraction], levels: Sequence[Fraction]) -> Fraction:
    """Squared error with every weight on its nearest level, or on zero."""
    return sum(
        (min((abs(w) - level) ** 2 for level in (0, *levels)) for w in weights), start=Fraction(0)
    )


def _levels(exponent: int, num_magnitudes: int) -> list[Fraction]:
    """Levels below the smallest normal float32 do not exist."""
    return [Fraction(2) ** (exponent - t) for t in range(num_magnitudes) if exponent - t >= -126]


@pytest.fixture(scope="session")
def least_error() -> Oracle:
    """The least squared error over every scale exponent of float32, in exact arithmetic."""

    def search(weight: torch.Tensor, num_magnitudes: int) -> Fraction:
        weights = [Fraction(value) for value in weight.double().flatten().tolist()]
        used = [math.frexp(w)[1] for w in weight.double().flatten().tolist() if w]
        # Above the largest weight's level the top would go unused; far below the smallest
        # weight every level is short of every weight.
        exponents = range(
            max(-126, min(used, default=0) - 2), min(127, max(used, default=0) + 1) + 1
        )
        candidates = (_error(weights, _levels(s, num_magnitudes)) for s in exponents)
        return min([*candidates, _error(weights, [])])

    return search


@pytest.fixture(scope="session")
def least_error_of_assignments() -> Oracle:
    """The same by trying every assignment of codes to weights, for a handful of weights."""

    def search(weight: torch.Tensor, num_magnitudes: int) -> Fraction:
        weights = [abs(Fraction(value)) for value in weight.double().flatten().tolist()]
        exponents = range(-8, 5)
        best = sum((w * w for w in weights), start=Fraction(0))
        for exponent in exponents:
            levels = [Fraction(0), *_levels(exponent, num_magnitudes)]
            for assignment in itertools.product(levels, repeat=len(weights)):
                error = sum(
                    ((w - x) ** 2 for w, x in zip(weights, assignment, strict=True)),
                    start=Fraction(0),
                )
                best = min(best, error)
        return best

    return search


@pytest.fixture(scope="session")
def error_of() -> Callable[[torch.Tensor, torch.Tensor], Fraction]:
    """The squared distance of two tensors in exact arithmetic."""

    def distance(a: torch.Tensor, b: torch.Tensor) -> Fraction:
        pairs = zip(a.double().flatten().tolist(), b.double().flatten().tolist(), strict=True)
        return sum(((Fraction(x) - Fraction(y)) ** 2 for x, y in pairs), start=Fraction(0))

    return distance
