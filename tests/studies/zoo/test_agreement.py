import numpy as np
import pytest

from lbwdet.studies.zoo.agreement import map_error, match


def test_map_error():
    one, two = np.array([0.0, 2.0]), np.array([5.0, 5.0, 8.0])
    assert map_error([one, two], [one, two]) == 0
    means = [np.full(2, one.mean()), np.full(3, two.mean())]
    assert map_error(means, [one, two]) == pytest.approx(1)
    # 1 of 2 (spread of the first) and 6 (of the second)
    assert map_error([np.array([1.0, 2.0]), two], [one, two]) == pytest.approx(np.sqrt(1 / 8))
    assert map_error([one * 0], [one * 0]) == 0


def found(*rows):
    boxes, scores, labels = zip(*rows, strict=True)
    return np.float32(boxes), np.float32(scores), np.int64(labels)


BOX, NEAR, FAR = (0, 0, 100, 100), (0, 0, 100, 95), (0, 0, 100, 80)
LINE, SAME_LINE, NEAR_LINE = (7, 0, 7, 50), (7, 0, 7, 50.001), (7, 0, 7, 50.1)


@pytest.mark.parametrize(
    "ours, theirs, share, difference",
    [
        ([(NEAR, 0.5, 1)], [(BOX, 0.75, 1)], 1, 0.25),
        ([(FAR, 0.5, 1)], [(BOX, 0.75, 1)], 0, None),
        ([(BOX, 0.5, 0)], [(BOX, 0.75, 1)], 0, None),
        ([(BOX, 0.5, 1)], [(BOX, 0.75, 1), (NEAR, 0.5, 1)], 0.5, 0.25),  # one stands for one
        ([(SAME_LINE, 0.5, 1)], [(LINE, 0.75, 1)], 1, 0.25),  # no area, and no IoU
        ([(NEAR_LINE, 0.5, 1)], [(LINE, 0.75, 1)], 0, None),
        ([(NEAR, 0.5, 1), (BOX, 0.25, 1)], [(BOX, 0.25, 1), (NEAR, 0.5, 1)], 1, 0),
    ],
)
def test_match(ours, theirs, share, difference):
    assert match(found(*ours), found(*theirs)) == (share, difference)


def test_nothing_to_match():
    none = np.zeros((0, 4)), np.zeros(0), np.zeros(0)
    assert match(found((BOX, 1, 0)), none) == (None, None)
    assert match(none, found((BOX, 1, 0))) == (0, None)
