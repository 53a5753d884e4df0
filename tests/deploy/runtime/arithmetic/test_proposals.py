import numpy as np

from lbwdet.deploy.runtime.arithmetic.proposals import counted, is_inner, named


def test_the_rim_is_out():
    # Middles of 50 columns are 0.01, 0.03, ..., 0.99, of 3 rows 1/6, 1/2, 5/6.
    inner = is_inner(3, 50, 0.01)
    assert inner.shape == (3, 50) and inner[:, 1:-1].all()
    assert not inner[:, [0, -1]].any()
    assert np.flatnonzero(is_inner(3, 1, 0.2)).tolist() == [1]


def test_numbers_name_pixels():
    numbers = np.array([3, -1, 9, 1], np.float32)
    assert np.flatnonzero(named(numbers, 5)).tolist() == [1, 3]
    assert np.flatnonzero(counted(numbers, 5)).tolist() == [1, 3]
    assert counted(np.append(numbers, 0), 5).all() and not named(numbers, 0).size
