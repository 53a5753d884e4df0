import numpy as np
import pytest
import torch

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.average_pool import AveragePool
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

WINDOWS = [((2, 2), (2, 2), (0, 0)), ((3, 3), (2, 2), (1, 1)), ((3, 4), (1, 3), (1, 1))]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("side", [3, 8, 11])
def test_sizes_rounded_up_are_those_of_torch(window, side):
    x = np.random.default_rng(side).normal(0, 1, (2, side, side + 1, 5)).astype(np.float32)
    tensor = torch.from_numpy(x).permute(0, 3, 1, 2)
    largest = torch.nn.functional.max_pool2d(tensor, *window, ceil_mode=True)
    found = compute_alone(Example(MaxPool("x", "y", *window, ceil=True), {"x": x}))
    assert np.array_equal(found, largest.permute(0, 2, 3, 1).numpy())
    for count_padding in (False, True):
        average = torch.nn.functional.avg_pool2d(
            tensor, *window, ceil_mode=True, count_include_pad=count_padding
        )
        operation = AveragePool("x", "y", *window, count_padding, ceil=True)
        found = compute_alone(Example(operation, {"x": x}))
        np.testing.assert_allclose(found, average.permute(0, 2, 3, 1).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [MaxPool, AveragePool])
def test_windows_that_would_begin_outside(kind):
    x = np.zeros((1, 4, 4, 1), np.uint8)
    example = Example(
        kind("x", "y", (2, 2), (2, 2), (1, 1), ceil=True),
        {"x": x},
        dict.fromkeys("xy", Quantization(1.0)),
    )
    with pytest.raises(ArtifactError, match=r"ceil leaves windows of \(2, 2\) without a pixel"):
        check_alone(example)
