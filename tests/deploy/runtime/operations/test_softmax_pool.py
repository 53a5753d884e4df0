import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.softmax_pool import SoftmaxPool
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

OPERATION = SoftmaxPool("x", "logits", "y")


def test_numpy_finds_the_same():
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (2, 9, 11, 5)).astype(np.uint8)
    logits = random.normal(0, 3, (2, 9, 11, 1)).astype(np.float32)
    logits[0, 0, 0] = -1e30  # counts for nothing
    reals = (x.astype(np.float32) - 77) / 4
    powers = np.exp(logits.astype(np.float64))
    expected = (reals * powers).sum((1, 2), keepdims=True) / powers.sum((1, 2), keepdims=True)
    found = compute_alone(Example(OPERATION, {"x": reals, "logits": logits}))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    quantizations = {"x": Quantization(0.25, 77), "y": Quantization(0.0625, 60)}
    found = compute_alone(Example(OPERATION, {"x": x, "logits": logits}, quantizations))
    assert np.abs(found - np.clip(expected / 0.0625 + 60, 0, 255)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("shape", [(1, 4, 4, 2), (1, 1, 1, 1)])
def test_there_is_a_logit_for_each_pixel(shape):
    values = {"x": np.zeros((1, 4, 4, 3), np.uint8), "logits": np.zeros(shape, np.float32)}
    with pytest.raises(ArtifactError, match="there is not one logit for each pixel"):
        check_alone(Example(OPERATION, values, dict.fromkeys("xy", Quantization(1.0))))


def test_numbers_that_float32_does_not_hold():
    values = {"x": np.zeros((1, 4, 4, 3), np.uint8), "logits": np.zeros((1, 4, 4, 1), np.float32)}
    quantizations = {"x": Quantization(2.0**60), "y": Quantization(2.0**-60)}
    with pytest.raises(ArtifactError, match="outputs could reach"):
        check_alone(Example(OPERATION, values, quantizations))
