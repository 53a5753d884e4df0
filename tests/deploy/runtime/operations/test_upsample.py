import numpy as np
import pytest
import torch

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.upsample import Upsample


@pytest.mark.parametrize("seed", range(30))
def test_number_by_number(seed):
    case = Upsample.example(np.random.default_rng(seed))
    operation, x, found = case.operation, case.values["x"], compute_alone(case)
    n, h, w, c = x.shape
    if operation.like is None:
        size = h * operation.factor[0], w * operation.factor[1]
    else:
        size = case.values["like"].shape[1:3]
    assert found.dtype == np.uint8 and found.shape == (n, *size, c)
    for i, j in np.ndindex(*size):
        assert np.array_equal(found[:, i, j], x[:, (i * h) // size[0], (j * w) // size[1]])


def test_the_random_cases_meet_everything():
    cases = [Upsample.example(np.random.default_rng(seed)) for seed in range(30)]
    assert {case.operation.like for case in cases} == {None, "like"}
    assert len({case.operation.factor for case in cases}) > 4
    smaller = {
        case.values["like"].shape[1] < case.values["x"].shape[1]
        for case in cases
        if "like" in case.values
    }
    assert smaller == {True, False}


@pytest.mark.parametrize("factor", [(1, 1), (2, 2), (3, 2)])
def test_it_is_that_of_torch(factor):
    x = np.random.default_rng(0).normal(0, 1, (2, 5, 4, 3)).astype(np.float32)
    found = compute_alone(Example(Upsample("x", "y", factor), {"x": x}))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(x).permute(0, 3, 1, 2), scale_factor=factor, mode="nearest"
    )
    assert np.array_equal(found, expected.permute(0, 2, 3, 1).numpy())
