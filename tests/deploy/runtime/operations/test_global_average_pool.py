import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone, run_alone
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.global_average_pool import GlobalAveragePool
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

OPERATION = GlobalAveragePool("x", "y")


def test_numpy_finds_the_same():
    x = np.random.default_rng(0).integers(0, 256, (2, 9, 11, 5)).astype(np.uint8)
    reals = (x.astype(np.float32) - 77) * np.float32(0.25)
    expected = reals.astype(np.float64).mean((1, 2), keepdims=True)
    found = compute_alone(Example(OPERATION, {"x": reals}))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)
    quantizations = {"x": Quantization(0.25, 77), "y": Quantization(0.03125, 60)}
    found = compute_alone(Example(OPERATION, {"x": x}, quantizations))
    assert np.abs(found - np.clip(expected / 0.03125 + 60, 0, 255)).max() <= 0.5 + 1e-4


def test_long_rows_are_added_exactly():
    """A sum of more than 2**32, and one unit more, of which rounding up makes a whole step."""
    x = np.full((1, 257, 1 << 16, 1), 255, np.uint8)
    x[0, 0, 0] = 254
    quantizations = {"x": Quantization(1.0, 255), "y": Quantization(2.0**-25, 200, rounding="ceil")}
    example = Example(OPERATION, {"x": x}, quantizations)
    # -1 / (257 * 65536), in units of 2**-25
    expected = 200 + int(np.ceil(-(2.0**25) / (257 * 65536)))
    assert compute_alone(example).item() == expected == 199
    if library_path() is not None:
        assert run_alone(example).item() == 199


def test_scales_too_far_apart_are_refused():
    quantizations = {"x": Quantization(1.0), "y": Quantization(2.0**-100)}
    with pytest.raises(ArtifactError, match="too far apart"):
        check_alone(Example(OPERATION, {"x": np.zeros((1, 4, 4, 1), np.uint8)}, quantizations))
