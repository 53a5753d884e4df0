import numpy as np
import pytest

from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.average_pool import AveragePool
from lbwdet.deploy.runtime.quantization import Quantization


@pytest.mark.parametrize("count_padding", [False, True])
def test_padding_is_zero_where_zero_is_not_0(count_padding, case, run):
    x = np.random.default_rng(0).integers(0, 256, (1, 9, 8, 5)).astype(np.uint8)
    quantizations = {"x": Quantization(0.25, 128), "y": Quantization(0.375, 100)}
    operation = AveragePool("x", "y", (3, 2), (2, 1), (2, 1), count_padding)
    made = case(Example(operation, {"x": x}, quantizations))
    (expected,), (found,) = made.expected, made.found(run)
    assert np.abs(found.astype(int) - expected).max() <= 1  # a tie
    assert (found == expected).mean() > 0.99
