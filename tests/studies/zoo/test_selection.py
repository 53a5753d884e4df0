import numpy as np
import torch

from lbwdet.deploy.lower.proposals import best_pixels
from lbwdet.studies.zoo.selection import Selected

SCORES = torch.tensor([3.0, 9.0, 1.0, 7.0, 5.0])
GIVEN = np.array([3, 0], np.float32).reshape(1, 1, 2, 1)


def test_the_lowered_choice_is_the_one_given():
    with Selected([GIVEN]) as choice:
        found = best_pixels([SCORES.reshape(1, 1, 1, 5)], 2, 1)
    assert found.flatten().tolist() == [3, 0]
    assert [x.tolist() for x in (*choice.found, *choice.expected)] == [[7, 3], [9, 7]]


def test_so_is_that_of_mmdetection():
    with Selected([GIVEN]) as choice:
        scores, numbers = torch.topk(SCORES[None], 2, dim=1)
        others = torch.topk(SCORES, 2).indices  # not of pixels
    assert (scores.tolist(), numbers.tolist()) == ([[7, 3]], [[3, 0]])
    assert others.tolist() == [1, 3]
    assert [x.tolist() for x in (*choice.found, *choice.expected)] == [[7, 3], [9, 7]]


def test_without_any_given_nothing_changes():
    with Selected([]):
        assert torch.topk(SCORES[None], 2, dim=1).indices.tolist() == [[1, 3]]
