import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.mix import Mix
from lbwdet.errors import ArtifactError


def test_it_is_a_convolution_of_one_pixel():
    random = np.random.default_rng(0)
    a, b = (random.normal(0, 1, (1, 5, 7, channels)).astype(np.float32) for channels in (2, 3))
    factors, bias = random.normal(0, 1, (4, 5)).astype(np.float32), random.normal(0, 1, 4)
    one = Mix(("a", "b"), "y", tuple(map(tuple, factors.tolist())), tuple(bias.tolist()), (1, 4))
    found = compute_alone(Example(one, {"a": a, "b": b}))
    x = torch.from_numpy(np.concatenate([a, b], -1)).permute(0, 3, 1, 2)
    x[:, [1, 4]] = x[:, [1, 4]].exp()
    weight = torch.from_numpy(factors)[:, :, None, None]
    expected = F.conv2d(x, weight, torch.tensor(bias, dtype=torch.float32)).permute(0, 2, 3, 1)
    assert found.dtype == np.float32
    assert np.allclose(found, expected.numpy(), atol=1e-5)


def test_number_by_number():
    f32 = np.float32
    x = f32([[[[0.1, 3.0, -0.7]]]])
    rows = ((0.3, 0.0, 1.7), (0.0, 0.0, 0.0))
    found = compute_alone(Example(Mix(("x",), "y", rows, (0.9, 0.25)), {"x": x}))
    first = f32(f32(0.9) + f32(f32(0.1) * f32(0.3)))
    assert found.reshape(-1).tolist() == [f32(first + f32(f32(-0.7) * f32(1.7))), 0.25]


def test_exponents_have_limits():
    x = np.float32([[[[-1e30, 1e30]]]])
    one = Mix(("x",), "y", ((1.0, 0.0), (0.0, 1.0)), (0.0, 0.0), (0, 1))
    assert np.allclose(compute_alone(Example(one, {"x": x})).reshape(-1), [0, np.exp(40.0)])


@pytest.mark.parametrize(
    ("rows", "bias", "exponential"),
    [
        (((1.0, 2.0),), (0.0,), ()),
        (((1.0, 2.0, 3.0),), (0.0, 0.0), ()),
        (((1.0, 2.0, 3.0),), (0.0,), (3,)),
    ],
)
def test_numbers_that_do_not_fit_are_refused(rows, bias, exponential):
    x = np.zeros((1, 2, 2, 3), np.float32)
    with pytest.raises(ArtifactError, match=r"1 rows of factors, . biases .* for 3 channels"):
        check_alone(Example(Mix(("x",), "y", rows, bias, exponential), {"x": x}))


def test_maps_of_other_sizes_are_refused():
    values = {name: np.zeros((1, 2, side, 1), np.float32) for name, side in (("a", 2), ("b", 3))}
    with pytest.raises(ArtifactError, match="the maps that are mixed differ in size"):
        check_alone(Example(Mix(("a", "b"), "y", ((1.0, 1.0),), (0.0,)), values))
