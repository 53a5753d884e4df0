import numpy as np

from lbwdet.deploy.runtime.arithmetic.proposals import is_inner


def test_the_rim_is_out():
    # Middles of 50 columns are 0.01, 0.03, ..., 0.99, of 3 rows 1/6, 1/2, 5/6.
    inner = is_inner(3, 50, 0.01)
    assert inner.shape == (3, 50) and inner[:, 1:-1].all()
    assert not inner[:, [0, -1]].any()
    assert np.flatnonzero(is_inner(3, 1, 0.2)).tolist() == [1]
