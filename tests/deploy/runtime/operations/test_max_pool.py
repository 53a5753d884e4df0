import numpy as np
import pytest
import torch

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.max_pool import MaxPool


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [((3, 3), (2, 2), (1, 1)), ((1, 1), (2, 2), (0, 0)), ((2, 3), (1, 2), (1, 0))],
)
@pytest.mark.parametrize("side", [3, 8, 11])
def test_torch_finds_the_same(kernel, stride, padding, side):
    x = np.random.default_rng(side).integers(0, 256, (2, side, side + 2, 5)).astype(np.uint8)
    found = compute_alone(Example(MaxPool("x", "y", kernel, stride, padding), {"x": x}))
    expected = torch.nn.functional.max_pool2d(
        torch.from_numpy(x).permute(0, 3, 1, 2).float(), kernel, stride, padding
    )
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected.permute(0, 2, 3, 1).numpy())
    reals = x.astype(np.float32) - 200  # outside of the map nothing counts: not even a zero
    found = compute_alone(Example(MaxPool("x", "y", kernel, stride, padding), {"x": reals}))
    assert found.dtype == np.float32
    assert np.array_equal(found, expected.permute(0, 2, 3, 1).numpy() - 200)
