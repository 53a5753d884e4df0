import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lbwdet.compat.operators.carafe import carafe_naive_forward
from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.reassemble import Reassemble
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError


def planes(array):
    return torch.from_numpy(array.astype(np.float32)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("kernel", "groups", "factor"), [(3, 1, 2), (5, 2, 3), (1, 3, 1)])
def test_carafe_finds_the_same(kernel, groups, factor):
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (2, 4, 7, 6)).astype(np.uint8)
    count = groups * kernel**2 * factor**2
    logits = random.normal(0, 3, (2, 4, 7, count)).astype(np.float32)
    reals = (x.astype(np.float32) - 77) / 4
    shuffled = F.pixel_shuffle(planes(logits), factor)
    weights = shuffled.unflatten(1, (groups, kernel**2)).softmax(2).flatten(1, 2)
    expected = torch.empty(2, 6, 4 * factor, 7 * factor)
    carafe_naive_forward(planes(reals), weights.contiguous(), expected, kernel, groups, factor)
    expected = expected.permute(0, 2, 3, 1).numpy()
    operation = Reassemble("x", "logits", "y", kernel, factor, groups)
    found = compute_alone(Example(operation, {"x": reals, "logits": logits}))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    quantizations = {"x": Quantization(0.25, 77), "y": Quantization(0.0625, 60)}
    found = compute_alone(Example(operation, {"x": x, "logits": logits}, quantizations))
    assert np.abs(found - np.clip(expected / 0.0625 + 60, 0, 255)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(kernel=2), "has no middle"),
        (dict(groups=2), "do not fall into 2 groups"),
        (dict(factor=3), "there are not 81 logits for each pixel"),
    ],
)
def test_what_does_not_fit(changes, message):
    values = {"x": np.zeros((1, 4, 4, 3), np.uint8), "logits": np.zeros((1, 4, 4, 36), np.float32)}
    operation = dataclasses.replace(Reassemble("x", "logits", "y", 3, 2), **changes)
    with pytest.raises(ArtifactError, match=message):
        check_alone(Example(operation, values, dict.fromkeys("xy", Quantization(1.0))))
