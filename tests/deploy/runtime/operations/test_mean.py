import dataclasses

import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.mean import Mean
from lbwdet.errors import ArtifactError


def example(*numbers):
    values = {f"x{i}": np.full((1, 1, 1, 1), x, np.float32) for i, x in enumerate(numbers)}
    return Example(Mean(tuple(values), "y"), values)


def test_the_sum_over_the_number():
    assert compute_alone(example(1, 2, 6)).tolist() == [[[[3]]]]


def test_the_order_of_the_sum():
    assert compute_alone(example(1e8, 1, -1e8)).item() == 0
    assert compute_alone(example(1e8, -1e8, 1)).item() == np.float32(1) / np.float32(3)


def test_maps_of_other_sizes():
    made = example(1, 2)
    other = {**made.values, "x1": np.zeros((1, 1, 2, 1), np.float32)}
    with pytest.raises(ArtifactError, match="'x1' has not the size of 'x0'"):
        check_alone(dataclasses.replace(made, values=other))
