import numpy as np
import pytest
import torch
from mmdet.models.dense_heads import PAAHead

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.vote import Vote
from lbwdet.errors import ArtifactError


def candidates(seed, count=60):
    """Boxes of about one size and place, so that all overlap."""
    random = np.random.default_rng(seed)
    corners, sides = random.uniform(0, 10, (count, 2)), random.uniform(20, 40, (count, 2))
    scores, classes = random.uniform(0.1, 1, count), random.integers(0, 3, count)
    columns = [corners, corners + sides, scores, classes, np.zeros(count)]
    return np.column_stack(columns).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_score_voting_of_mmdetection(seed):
    voters = candidates(seed)
    kept = voters[:10]
    found = compute_alone(Example(Vote("x", "v", "y"), {"x": kept, "v": voters}))
    boxes = torch.from_numpy(voters[:, :4])
    scores = torch.zeros(len(voters), 4)  # a last column for the background
    scores[torch.arange(len(voters)), torch.from_numpy(voters[:, 5]).long()] = torch.from_numpy(
        voters[:, 4]
    )
    expected, labels = PAAHead.score_voting(
        type("Head", (), {"cls_out_channels": 3}),
        torch.from_numpy(kept[:, :5]),
        torch.from_numpy(kept[:, 5]).long(),
        boxes,
        scores,
        0.05,
    )
    order = np.argsort(kept[:, 5], kind="stable")  # MMDetection returns class by class
    assert np.array_equal(found[order, 5], labels.numpy())
    assert np.allclose(found[order, :5], expected.numpy(), atol=1e-3)
    assert np.array_equal(found[:, 4:], kept[:, 4:])
    assert (found[:, :4] != kept[:, :4]).any(1).all()


def test_a_box_for_which_nobody_votes_stays():
    row = np.float32([[5, 5, 5, 9, 0.5, 1, 0]])  # without area, not even for itself
    for voters in (row, row[:0], candidates(0) * np.float32([1, 1, 1, 1, 0, 1, 1])):
        found = compute_alone(Example(Vote("x", "v", "y"), {"x": row, "v": voters}))
        assert np.array_equal(found, row)


def test_settings_out_of_range_are_refused():
    values = {"x": candidates(0), "v": candidates(1)}
    with pytest.raises(ArtifactError, match=r"sharpness is 0.0; allowed is 0.002 to"):
        check_alone(Example(Vote("x", "v", "y", sharpness=0.0), values))
