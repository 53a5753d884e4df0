import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.multiply import Multiply
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize("gate", [(5, 7, 3), (1, 1, 3), (5, 7, 1), (1, 1, 1)])
def test_numpy_finds_the_same(gate):
    random = np.random.default_rng(0)
    x, g = (random.integers(0, 256, (2, *shape)).astype(np.uint8) for shape in ((5, 7, 3), gate))
    quantizations = {
        "x": Quantization(0.25, 77),
        "g": Quantization(1 / 256),
        "y": Quantization(0.5, 60),
    }
    reals = {"x": (x.astype(np.float32) - 77) / 4, "g": g.astype(np.float32) / 256}
    expected = reals["x"] * reals["g"]
    operation = Multiply("x", "g", "y")
    assert np.array_equal(compute_alone(Example(operation, reals)), expected)
    found = compute_alone(Example(operation, {"x": x, "g": g}, quantizations))
    assert np.abs(found - np.clip(expected / 0.5 + 60, 0, 255)).max() <= 0.5 + 1e-4


@pytest.mark.parametrize(
    ("gate", "scale", "problem"),
    [
        ((1, 5, 1, 3), 1.0, "neither the size of the map nor one pixel, or other channels"),
        ((1, 1, 1, 2), 1.0, "neither the size of the map nor one pixel, or other channels"),
        ((1, 1, 1, 3), 2.0**-80, "too far apart"),
    ],
)
def test_what_is_refused(gate, scale, problem):
    values = {"x": np.zeros((1, 5, 7, 3), np.uint8), "g": np.zeros(gate, np.uint8)}
    quantizations = {name: Quantization(1.0) for name in "xg"} | {"y": Quantization(scale)}
    with pytest.raises(ArtifactError, match=problem):
        check_alone(Example(Multiply("x", "g", "y"), values, quantizations))
