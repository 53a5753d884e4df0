import numpy as np
import pytest
import torch

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.proposal_boxes import ProposalBoxes
from lbwdet.errors import ArtifactError


def test_without_deltas_they_are_around_their_pixels():
    operation = ProposalBoxes("deltas", "y", side=0.1)
    found = compute_alone(Example(operation, {"deltas": np.zeros((1, 3, 60, 4), np.float32)}))
    boxes = torch.from_numpy(found).sigmoid().numpy()[0]
    np.testing.assert_allclose(boxes[:, 1:-1, 2:], 0.1, rtol=1e-5)
    np.testing.assert_allclose(boxes[1, 1:-1, 0], (np.arange(1, 59) + 0.5) / 60, rtol=1e-5)
    np.testing.assert_allclose(boxes[:, 5, 1], [1 / 6, 0.5, 5 / 6], rtol=1e-5)
    assert (boxes[:, [0, -1]] == 1).all()


def test_deltas_are_added_to_logits():
    random = np.random.default_rng(0)
    deltas = random.normal(0, 1, (1, 5, 7, 4)).astype(np.float32)
    operation = ProposalBoxes("deltas", "y", side=0.1)
    found, plain = (
        compute_alone(Example(operation, {"deltas": x})) for x in (deltas, np.zeros_like(deltas))
    )
    np.testing.assert_array_equal(found, deltas + plain)


def test_a_box_is_four_numbers():
    with pytest.raises(ArtifactError, match="3 numbers are no box"):
        given = {"deltas": np.zeros((1, 2, 2, 3), np.float32)}
        check_alone(Example(ProposalBoxes("deltas", "y", 0.1), given))
