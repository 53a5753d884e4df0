import numpy as np
import pytest
import torch

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.upsample import Upsample
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.shapes import Map, Side
from lbwdet.deploy.runtime.validate import check_operations
from lbwdet.errors import ArtifactError


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


def test_a_factor_or_a_map():
    x = np.zeros((1, 2, 3, 4), np.uint8)
    example = Example(
        Upsample("x", "y", (2, 2), like="like"),
        {"x": x, "like": x},
        dict.fromkeys(["x", "y", "like"], Quantization(1.0)),
    )
    with pytest.raises(ArtifactError, match="it has a factor beside the size of another map"):
        check_alone(example)


def test_multiples_of_a_side_that_is_rounded_down_are_those_of_no_map():
    quantizations = dict.fromkeys("xy", Quantization(1.0))
    given = {"x": Map(4, Side(3, 1, 2), Side(8), quantization=quantizations["x"])}
    message = "the input's sides are rounded down, .*; give the map whose size it takes"
    with pytest.raises(ArtifactError, match=message):
        check_operations([Upsample("x", "y", (2, 2))], quantizations, {}, given)
    given["like"] = Map(1, Side(3), Side(16))
    found = check_operations([Upsample("x", "y", like="like")], quantizations, {}, given)
    assert found["y"] == Map(4, Side(3), Side(16), quantization=quantizations["y"])
