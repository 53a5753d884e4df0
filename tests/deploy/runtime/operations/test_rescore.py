import dataclasses

import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operations.rescore import Rescore
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize("seed", range(5))
def test_the_factor_of_each_ones_class(seed):
    case = Rescore.example(np.random.default_rng(seed))
    rows, factors, found = case.values["x"], case.values["factors"], compute_alone(case)
    assert found.dtype == np.float32 and found.shape == rows.shape
    assert np.array_equal(found[:, [0, 1, 2, 3, 5, 6]], rows[:, [0, 1, 2, 3, 5, 6]])
    for row, factor, other in zip(rows, factors, found, strict=True):
        assert other[4] == row[4] * factor[0, 0, int(row[5])]


def test_other_numbers_of_factors():
    case = Rescore.example(np.random.default_rng(0))
    factors = np.zeros((len(case.values["x"]), 1, 1, 2), np.float32)
    with pytest.raises(ArtifactError, match="2 factors for 3 classes"):
        check_alone(dataclasses.replace(case, values={**case.values, "factors": factors}))
