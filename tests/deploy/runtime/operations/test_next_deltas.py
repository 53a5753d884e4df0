import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.coders import DeltaCoder
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.next_deltas import NextDeltas
from lbwdet.errors import ArtifactError


def test_the_boxes_are_those_of_two_steps():
    random = np.random.default_rng(0)
    first, second = random.normal(0, 1, (2, 1, 5, 6, 4)).astype(np.float32)
    coder = DeltaCoder((0.0,) * 4, (1.0,) * 4, 1e-6, clip=False)
    priors = np.tile(np.array([3, 4, 23, 44], np.float32), (1, 5, 6, 1))
    expected = coder.decode(coder.decode(priors, first, 0, 0), second, 0, 0)
    values = {"a": first, "b": second}
    found = coder.decode(priors, compute_alone(Example(NextDeltas("a", "b", "y"), values)), 0, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_a_box_of_no_extent():
    deltas = np.array([1, 2, -np.inf, 0], np.float32).reshape(1, 1, 1, 4)
    found = compute_alone(Example(NextDeltas("a", "a", "y", least=-10), {"a": deltas}))
    np.testing.assert_allclose(found[0, 0, 0], [1 + np.exp(-10), 4, -np.inf, 0], rtol=1e-6)


@pytest.mark.parametrize("channels", [(4, 8), (8, 8)])
def test_other_maps(channels):
    maps = (np.zeros((1, 2, 2, count), np.float32) for count in channels)
    with pytest.raises(ArtifactError, match="not four deltas twice"):
        check_alone(Example(NextDeltas("a", "b", "y"), dict(zip("ab", maps, strict=True))))
