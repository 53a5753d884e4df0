import numpy as np
import pytest
import torch
from mmdet.models.utils import aligned_bilinear
from torch.nn import functional as F

from lbwdet.deploy.runtime.arithmetic.spread import enlarged, spread, taps

MASK = np.random.default_rng(0).uniform(0, 1, (5, 7)).astype(np.float32)


def both(factor, sources, targets, aligned=False):
    rows, columns = (
        taps(pixels, factor, source, target, target, aligned)
        for pixels, source, target in zip(MASK.shape, sources, targets, strict=True)
    )
    return spread(MASK, rows, columns)


def test_to_the_size_of_another():
    expected = F.interpolate(torch.from_numpy(MASK)[None, None], size=(9, 20), mode="bilinear")
    found = enlarged(MASK[None], (9, 20))
    np.testing.assert_allclose(found[0], expected[0, 0].numpy(), atol=1e-6)
    assert enlarged(MASK[None], (5, 7))[0] is not None
    assert np.array_equal(enlarged(MASK[None], (5, 7))[0], MASK)


@pytest.mark.parametrize("aligned", [False, True])
def test_in_two_steps(aligned):
    mask = torch.from_numpy(MASK)[None, None]
    larger = (
        aligned_bilinear(mask, 4)
        if aligned
        else F.interpolate(mask, scale_factor=4, mode="bilinear")
    )
    expected = F.interpolate(larger[:, :, :17, :25], size=(33, 20), mode="bilinear")
    found = both(4, (17, 25), (33, 20), aligned)
    np.testing.assert_allclose(found, expected[0, 0].numpy(), atol=1e-6)


def test_what_lies_behind_the_end():
    rows = taps(5, 1, 5, 4, 8, aligned=False)  # eight are wanted of what becomes four
    lines = spread(np.arange(5, dtype=np.float32)[:, None], rows, taps(1, 1, 1, 1, 1, False))
    np.testing.assert_allclose(lines[:4, 0], [0.125, 1.375, 2.625, 3.875], atol=1e-6)
    np.testing.assert_allclose(lines[4:], 4, atol=1e-6)
