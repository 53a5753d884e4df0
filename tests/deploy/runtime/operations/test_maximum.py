import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.maximum import Maximum
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

OPERATION = Maximum("a", "b", "y")


def test_numpy_finds_the_same():
    a, b = np.random.default_rng(0).integers(0, 256, (2, 1, 3, 5, 4)).astype(np.uint8)
    quantizations = {
        "a": Quantization(0.5, 128),
        "b": Quantization(0.25, 3),
        "y": Quantization(0.5, 100),
    }
    reals = np.maximum((a.astype(float) - 128) * 0.5, (b.astype(float) - 3) * 0.25)
    found = compute_alone(Example(OPERATION, {"a": a, "b": b}, quantizations))
    np.testing.assert_array_equal(found, np.clip(np.rint(reals / 0.5) + 100, 0, 255))


def test_maps_of_two_sizes():
    values = {"a": np.zeros((1, 3, 5, 4), np.uint8), "b": np.zeros((1, 3, 5, 1), np.uint8)}
    with pytest.raises(ArtifactError, match="the two maps differ in size"):
        check_alone(Example(OPERATION, values, dict.fromkeys("aby", Quantization(1.0))))
