import numpy as np
import pytest
import torch
from mmdet.models.utils import get_local_maximum
from torch.nn import functional as F

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.peaks import Peaks


def found(logits, before, after):
    made = compute_alone(Example(Peaks("x", "y", before, after), {"x": logits}))
    return torch.from_numpy(made).permute(0, 3, 1, 2)


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(0, 2, (1, 9, 12, 3)).astype(np.float32)


def test_solo_finds_the_same(logits):
    scores = torch.from_numpy(logits).permute(0, 3, 1, 2).sigmoid()
    largest = F.max_pool2d(scores, 2, stride=1, padding=1)[:, :, :-1, :-1]
    torch.testing.assert_close(found(logits, 1, 0), scores * (largest == scores))


def test_centernet_finds_the_same(logits):
    scores = torch.from_numpy(logits).permute(0, 3, 1, 2).sigmoid()
    torch.testing.assert_close(found(logits, 1, 1), get_local_maximum(scores, kernel=3))


def test_equal_neighbours_both_stay():
    logits = np.zeros((1, 1, 4, 1), np.float32)
    logits[0, 0, 2:] = 1.0
    assert (found(logits, 1, 1) > 0.7).flatten().tolist() == [False, False, True, True]
