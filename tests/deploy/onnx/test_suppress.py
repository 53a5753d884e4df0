import numpy as np
import pytest

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.suppress import Suppress


@pytest.mark.parametrize("group", ["class", "level", "all"])
@pytest.mark.parametrize("threshold", [0.0, 0.4])
@pytest.mark.parametrize("count", [0, 1, 150])
def test_the_same_survive_in_the_same_order(run, case, group, threshold, count):
    random = np.random.default_rng(count)
    rows = random_cases.candidates(random, count)
    rows[:, 4] = random.permutation(count) / 200 - 0.3  # logits may be negative
    made = case(Example(Suppress("x", "y", threshold, 40, group), {"x": rows}))
    (found,), (expected,) = made.found(run), made.expected
    assert len(expected) == min(count, 40) or threshold == 0
    assert np.array_equal(found, expected)
