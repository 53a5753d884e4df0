import dataclasses

import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import NativeError, check_alone, compute_alone, run_alone
from lbwdet.deploy.runtime.operations.of_candidates import OfCandidates
from lbwdet.errors import ArtifactError


def case():
    cases = (OfCandidates.example(np.random.default_rng(seed)) for seed in range(20))
    return next(case for case in cases if len(case.values["candidates"]) > 3)


def test_each_candidate_has_its_boxs_pixel():
    given = case()
    found, known = compute_alone(given), given.values["x"]
    for pixel, row in zip(found, given.values["candidates"], strict=True):
        assert np.array_equal(pixel, known[int(row[6])])


@pytest.mark.parametrize("number", [-1, 10])
def test_a_box_that_is_not_there(number):
    given = case()
    rows = given.values["candidates"].copy()
    rows[1, 6] = number
    wrong = dataclasses.replace(given, values={**given.values, "candidates": rows})
    with pytest.raises(ArtifactError, match="a candidate of another box than the 10"):
        compute_alone(wrong)
    with pytest.raises(NativeError, match="a candidate of another box"):
        run_alone(wrong)


def test_maps_of_several_pixels():
    given = case()
    values = {**given.values, "x": given.values["x"].reshape(5, 2, 1, -1)}
    with pytest.raises(ArtifactError, match="have no numbers of the boxes of 'x'"):
        check_alone(dataclasses.replace(given, values=values))
