import numpy as np

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.regions import Regions


def test_boxes_of_candidates():
    rows = np.arange(21, dtype=np.float32).reshape(3, 7)
    found = compute_alone(Example(Regions("x", "y"), {"x": rows}))
    assert found.dtype == np.float32 and found.flags.c_contiguous
    assert found.tolist() == [[0, 1, 2, 3], [7, 8, 9, 10], [14, 15, 16, 17]]


def test_nothing():
    assert compute_alone(Example(Regions("x", "y"), {"x": np.zeros((0, 7), np.float32)})).shape == (
        0,
        4,
    )
