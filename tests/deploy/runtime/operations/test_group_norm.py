import numpy as np
import pytest
import torch

from lbwdet.deploy.runtime.alone import check_alone, compute_alone, run_alone
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.group_norm import GroupNorm
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

GAIN, BIAS = (0.5, -1.0, 2.0, 1.0, 3.0, 0.1), (0.0, 1.0, -1.0, 0.5, 0.0, 2.0)


def normal(x, groups):
    parameters = (torch.tensor(numbers).double() for numbers in (GAIN, BIAS))
    tensor = torch.from_numpy(x).permute(0, 3, 1, 2).double()
    found = torch.nn.functional.group_norm(tensor, groups, *parameters, eps=1e-5)
    return found.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_torch_finds_the_same(groups):
    x = np.random.default_rng(groups).integers(0, 256, (2, 7, 9, 6)).astype(np.uint8)
    operation = GroupNorm("x", "y", groups, GAIN, BIAS, 1e-5)
    reals = (x.astype(np.float32) - 77) * np.float32(0.25)
    expected = normal(reals, groups)
    found = compute_alone(Example(operation, {"x": reals}))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    quantizations = {"x": Quantization(0.25, 77), "y": Quantization(0.03125, 60)}
    found = compute_alone(Example(operation, {"x": x}, quantizations))
    # the oracle is not rounded: away by half a step, and clamped as the output is
    assert np.abs(found - np.clip(expected / 0.03125 + 60, 0, 255)).max() <= 0.5 + 1e-4


def test_all_alike_is_the_bias():
    x = np.full((1, 4, 4, 6), 200, np.uint8)
    quantizations = {"x": Quantization(0.25, 77)}
    found = compute_alone(
        Example(GroupNorm("x", "y", 3, GAIN, BIAS, 1e-5), {"x": x}, quantizations)
    )
    # a product of some 1e4, 123 steps over the root of epsilon, and its opposite, in float32
    np.testing.assert_allclose(found, np.broadcast_to(np.float32(BIAS), x.shape), atol=1e-3)


def test_long_rows_are_added_exactly():
    """Squares of 255 of more pixels than 32 bits can add, and one that differs by a unit."""
    x = np.full((1, 2, 70_000, 1), 255, np.uint8)
    x[0, 1, 5] = 254
    example = Example(
        GroupNorm("x", "y", 1, (1.0,), (0.0,), 1e-12), {"x": x}, {"x": Quantization(1.0)}
    )
    found = compute_alone(example)
    assert abs(found[0, 1, 5, 0] / -np.sqrt(139_999) - 1) < 1e-3
    if library_path() is not None:
        assert run_alone(example).tobytes() == found.tobytes()


@pytest.mark.parametrize(
    ("groups", "gain", "problem"),
    [(4, GAIN, "6 channels are no 4 groups"), (3, GAIN[:3], "3 gains and 6 biases for 6 channels")],
)
def test_what_is_refused(groups, gain, problem):
    example = Example(
        GroupNorm("x", "y", groups, gain, BIAS, 1e-5),
        {"x": np.zeros((1, 4, 4, 6), np.uint8)},
        {"x": Quantization(1.0)},
    )
    with pytest.raises(ArtifactError, match=problem):
        check_alone(example)


@pytest.mark.parametrize(
    ("gain", "scales", "problem"),
    [
        (
            1.0,
            (2.0**60, 1.0),
            "epsilon is 7.52e-49 of the input's steps squared; allowed is 1.18e-38",
        ),
        (1.0, (2.0**-100, 1.0), "epsilon is 1.61e\\+48 of the input's"),
        (2.0**60, (1.0, 2.0**-60), "outputs could reach"),
        (1.0, (1.0, 2.0**-70), "outputs could reach"),
    ],
)
def test_numbers_that_float32_does_not_hold(gain, scales, problem):
    operation = GroupNorm("x", "y", 1, (gain,) * 4, (0.0,) * 4, 1e-12)
    quantizations = {name: Quantization(scale) for name, scale in zip("xy", scales, strict=True)}
    with pytest.raises(ArtifactError, match=problem):
        check_alone(Example(operation, {"x": np.full((1, 2, 2, 4), 7, np.uint8)}, quantizations))
