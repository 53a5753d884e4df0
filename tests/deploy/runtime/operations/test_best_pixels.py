import numpy as np
import pytest
import torch

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.best_pixels import BestPixels
from lbwdet.errors import ArtifactError


def given(count, classes=3):
    random = np.random.default_rng(0)
    values = {
        name: random.permutation(size * 9).reshape(1, size, 3, 3).astype(np.float32) + offset
        for name, size, offset in (("a", 4, 0.0), ("b", 2, 0.5))
    }
    return Example(BestPixels(("a", "b"), "y", count, classes), values)


@pytest.mark.parametrize("classes", [1, 3])
def test_they_are_those_of_topk(classes):
    example = given(10, classes)
    scores = np.concatenate([x.reshape(-1, 3) for x in example.values.values()])
    best = torch.from_numpy(scores[:, :classes]).amax(1)
    assert compute_alone(example).flatten().tolist() == best.topk(10).indices.tolist()


def test_where_there_are_fewer_the_rest_is_none():
    found = compute_alone(given(20)).flatten()
    assert sorted(found[:18]) == list(range(18)) and found[18:].tolist() == [-1, -1]


def test_scores_that_are_not_there():
    with pytest.raises(ArtifactError, match="a map has fewer than 4 scores per pixel"):
        check_alone(given(5, 4))
