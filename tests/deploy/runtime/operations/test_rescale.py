import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.rescale import Rescale

f32 = np.float32


@pytest.mark.parametrize("seed", range(10))
def test_number_by_number(seed):
    case = Rescale.example(np.random.default_rng(seed))
    rows, found = case.values["x"], compute_alone(case)
    factors = [f32(f32(1) / f32(case.resized[axis] / case.image.shape[axis])) for axis in (1, 0)]
    assert found.dtype == f32 and found.shape == rows.shape
    assert np.array_equal(found[:, 4:], rows[:, 4:])
    for n, side in np.ndindex(len(rows), 4):
        assert found[n, side] == f32(rows[n, side] * factors[side % 2])


def test_each_axis_has_its_factor():
    rows = f32([[1, 2, 3, 4, 0.5, 7, 1]])
    image = np.zeros((180, 60, 3), np.uint8)
    found = compute_alone(Example(Rescale("x", "y"), {"x": rows}, image=image, resized=(90, 120)))
    assert found.tolist() == [[0.5, 4, 1.5, 8, 0.5, 7, 1]]
    assert rows[0, 0] == 1  # what is read stays what it is


def test_without_a_change_of_size():
    rows = f32([[0.1, 0.2, 0.3, 0.7, 0.5, 7, 1]])
    image = np.zeros((31, 77, 3), np.uint8)
    found = compute_alone(Example(Rescale("x", "y"), {"x": rows}, image=image, resized=(31, 77)))
    assert np.array_equal(found, rows)
