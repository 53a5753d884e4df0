import numpy as np
import pytest

from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.ps_roi_align import PSRoIAlign


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("size", [3, 7])
def test_it_is_the_reference(run, case, size, ratio):
    random = np.random.default_rng(size)
    maps = random.normal(0, 1, (1, 12, 16, 4 * size**2)).astype(np.float32)
    corners = np.sort(random.uniform(0, 1, (40, 2, 2)), 1) * (128, 96)
    boxes = corners.reshape(-1, 4).astype(np.float32)
    operation = PSRoIAlign("maps", "boxes", "votes", 8, size, ratio)
    made = case(Example(operation, {"maps": maps, "boxes": boxes}))
    (found,), (expected,) = made.found(run), made.expected
    assert np.abs(expected).max() > 0.3
    assert found.shape == expected.shape and np.allclose(found, expected, atol=1e-4)
