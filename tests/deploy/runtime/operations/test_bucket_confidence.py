"""Beside MMDetection's it stands in the test of ``BucketSides``."""

import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.bucket_confidence import BucketConfidence
from lbwdet.errors import ArtifactError


def test_a_neighbour_makes_surer():
    third = np.float32([0, 3, 3])  # the best and its neighbour; then the best and one further away
    near = np.tile(third, 4).reshape(1, 1, 1, 12)
    far = np.tile(third[[1, 0, 2]], 4).reshape(1, 1, 1, 12)
    share = np.exp(3) / (1 + 2 * np.exp(3))
    for scores, expected in ((near, 2 * share), (far, share)):
        found = compute_alone(Example(BucketConfidence("s", "y", 3), {"s": scores}))
        assert np.allclose(found, expected, atol=1e-6)


def test_four_sides_are_wanted():
    with pytest.raises(ArtifactError, match="10 scores are no 2 of four sides"):
        scores = np.zeros((1, 1, 1, 10), np.float32)
        check_alone(Example(BucketConfidence("s", "y", 2), {"s": scores}))
