import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.region_product import RegionProduct
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

OPERATION = RegionProduct("x", "m", "y", first=2, channels=5)


def example(operation=OPERATION):
    random = np.random.default_rng(0)
    values = {
        "x": random.integers(0, 256, (3, 4, 2, 6)).astype(np.uint8),
        "m": random.integers(0, 256, (3, 1, 1, 40)).astype(np.uint8),
    }
    quantizations = {
        "x": Quantization(0.03125, 120),
        "m": Quantization(0.0625, 20),
        "y": Quantization(0.5, 128),
    }
    return Example(operation, values, quantizations)


def in_reals(given):
    return {
        name: (x.astype(np.float64) - given.quantizations[name].zero_point)
        * given.quantizations[name].scale
        for name, x in given.values.items()
    }


def test_matrices_that_numpy_multiplies():
    given = example()
    reals = in_reals(given)
    matrices = reals["m"][:, 0, 0, 2:32].reshape(3, 6, 5)
    expected = np.einsum("nhwi,nio->nhwo", reals["x"], matrices)
    found = compute_alone(given)
    assert found.shape == (3, 4, 2, 5) and found.dtype == np.uint8
    inside = np.clip(expected / 0.5 + 128, 0, 255)
    assert np.abs(found.astype(np.float64) - inside).max() <= 0.5 + 1e-3
    assert 0 < (inside % 255 != 0).mean() < 1  # some are cut off, others are not
    exact = Example(OPERATION, {n: x.astype(np.float32) for n, x in reals.items()})
    np.testing.assert_allclose(compute_alone(exact), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("first, channels", [(11, 5), (0, 7)])
def test_a_matrix_that_is_not_there(first, channels):
    with pytest.raises(ArtifactError, match="a matrix of the numbers"):
        check_alone(example(RegionProduct("x", "m", "y", first, channels)))


def test_a_matrix_for_each_region():
    given = example()
    values = {**given.values, "m": given.values["m"].reshape(3, 2, 1, 20)}
    with pytest.raises(ArtifactError, match="has not one pixel for each map of 'x'"):
        check_alone(Example(OPERATION, values, given.quantizations))
