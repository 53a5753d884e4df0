import numpy as np

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.detections import Detections


def test_candidates_taken_apart():
    rows = np.float32([[1, 2, 3, 4, 0.5, 2, 0], [5, 6, 7, 8, 0.25, 0, 1]])
    boxes, scores, labels = compute_alone(Example(Detections("x", 3), {"x": rows}))
    assert boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert scores.tolist() == [0.5, 0.25] and labels.tolist() == [2, 0]
    assert (boxes.dtype, scores.dtype, labels.dtype) == (np.float32, np.float32, np.int64)
    assert boxes.flags.owndata and scores.flags.owndata  # not views that keep all else alive


def test_nothing():
    found = compute_alone(Example(Detections("x", 3), {"x": np.zeros((0, 7), np.float32)}))
    assert [value.shape for value in found] == [(0, 4), (0,), (0,)]
    assert [value.dtype for value in found] == [np.float32, np.float32, np.int64]
