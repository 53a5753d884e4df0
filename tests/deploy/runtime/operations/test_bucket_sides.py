import numpy as np
import pytest
import torch
from mmdet.models.task_modules import BucketingBBoxCoder

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.bucket_confidence import BucketConfidence
from lbwdet.deploy.runtime.operations.bucket_sides import BucketSides
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize("number", [14, 5])
def test_boxes_and_confidences_are_those_of_mmdetection(number):
    """Both operations, since MMDetection computes both at once."""
    random, buckets = np.random.default_rng(0), -(-number // 2)
    scores, offsets = random.normal(0, 1, (2, 1, 9, 11, 4 * buckets)).astype(np.float32)
    corners = random.uniform(0, 100, (99, 2)).astype(np.float32)
    priors = np.concatenate([corners, corners + 24], 1)
    coder = BucketingBBoxCoder(number, 3.0)
    boxes, confidences = coder.decode(
        torch.from_numpy(priors),
        [torch.from_numpy(maps.reshape(99, -1)) for maps in (scores, offsets)],
        (90, 120),
    )
    values = {"s": scores, "o": offsets}
    sides = compute_alone(Example(BucketSides("s", "o", "y", buckets, number), values))
    found = DistanceCoder(3.0 / number, inset=1.0, of_prior=True).decode(
        priors, sides.reshape(99, 4), 90, 120
    )
    assert sides.dtype == np.float32
    assert np.allclose(found, boxes.numpy(), atol=1e-3)
    sure = compute_alone(Example(BucketConfidence("s", "y", buckets), {"s": scores}))
    assert sure.dtype == np.float32 and sure.shape == (1, 9, 11, 1)
    assert np.allclose(sure.reshape(-1), confidences.numpy(), atol=1e-6)


def test_maps_that_do_not_fit_are_refused():
    scores, offsets = np.zeros((1, 2, 2, 16), np.float32), np.zeros((1, 2, 2, 8), np.float32)
    with pytest.raises(ArtifactError, match="'s' and 'o' differ in size"):
        check_alone(Example(BucketSides("s", "o", "y", 4, 8), {"s": scores, "o": offsets}))
    with pytest.raises(ArtifactError, match="8 scores are no 4 of four sides"):
        check_alone(Example(BucketSides("s", "o", "y", 4, 8), {"s": offsets, "o": offsets}))
