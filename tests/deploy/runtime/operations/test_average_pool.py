import numpy as np
import pytest
import torch

from lbwdet.deploy.runtime.alone import check_alone, compute_alone, run_alone
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.average_pool import AveragePool
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

WINDOWS = [((3, 3), (2, 2), (1, 1)), ((1, 1), (2, 2), (0, 0)), ((2, 3), (1, 2), (1, 1))]


def averages(x, kernel, stride, padding, count_padding):
    found = torch.nn.functional.avg_pool2d(
        torch.from_numpy(x).permute(0, 3, 1, 2).double(),
        kernel,
        stride,
        padding,
        count_include_pad=count_padding,
    )
    return found.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("count_padding", [False, True])
@pytest.mark.parametrize("side", [3, 8, 11])
def test_torch_finds_the_same(window, count_padding, side):
    x = np.random.default_rng(side).integers(0, 256, (2, side, side + 2, 5)).astype(np.uint8)
    operation = AveragePool("x", "y", *window, count_padding)
    reals = (x.astype(np.float32) - 77) * np.float32(0.25)
    expected = averages(reals, *window, count_padding)
    found = compute_alone(Example(operation, {"x": reals}))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)
    quantizations = {"x": Quantization(0.25, 77), "y": Quantization(0.375, 60)}
    found = compute_alone(Example(operation, {"x": x}, quantizations))
    assert found.dtype == np.uint8
    # the oracle is not rounded: away by half a step, and clamped as the output is
    wanted = np.clip(expected / 0.375 + 60, 0, 255)
    assert np.abs(found - wanted).max() <= 0.5 + 1e-4


@pytest.mark.parametrize(
    ("count_padding", "expected"), [(False, [[10, 20], [30, 40]]), (True, [[3, 5], [8, 10]])]
)
def test_what_lies_outside_counts_as_a_zero_or_not_at_all(count_padding, expected):
    """Windows of 2 x 2 whose only pixel in the map is a corner; of an input where 100 is zero."""
    x = np.array([[110, 120], [130, 140]], np.uint8)[None, :, :, None]
    operation = AveragePool("x", "y", (2, 2), (2, 2), (1, 1), count_padding)
    quantizations = {"x": Quantization(1.0, 100), "y": Quantization(1.0, 0, 255, "ceil")}
    found = compute_alone(Example(operation, {"x": x}, quantizations))
    assert found[0, :, :, 0].tolist() == expected


def test_the_largest_window_is_added_exactly():
    """One unit in a sum of 254 * 2**14, which rounding up makes a whole step of."""
    x = np.full((1, 128, 128, 1), 254, np.uint8)
    x[0, 100, 100, 0] = 255
    quantizations = {"x": Quantization(1.0), "y": Quantization(1.0, 0, 255, "ceil")}
    example = Example(AveragePool("x", "y", (128, 128), (1, 1)), {"x": x}, quantizations)
    assert compute_alone(example).item() == 255
    if library_path() is not None:
        assert run_alone(example).item() == 255


@pytest.mark.parametrize(
    ("padding", "scale", "problem"),
    [
        ((2, 0), 1.0, r"the padding \(2, 0\) leaves windows of \(2, 2\) without a pixel"),
        ((0, 0), 2.0**-100, "outputs could reach"),
    ],
)
def test_what_is_refused(padding, scale, problem):
    operation = AveragePool("x", "y", (2, 2), (1, 1), padding)
    quantizations = {"x": Quantization(1.0), "y": Quantization(scale)}
    with pytest.raises(ArtifactError, match=problem):
        check_alone(Example(operation, {"x": np.zeros((1, 4, 4, 1), np.uint8)}, quantizations))
