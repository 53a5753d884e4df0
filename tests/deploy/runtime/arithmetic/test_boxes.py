import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from scipy.special import expit
from scipy.special import softmax as scipy_softmax

from lbwdet.deploy.runtime.arithmetic.boxes import (
    anchors,
    area,
    best_first,
    exp,
    overlaps,
    sigmoid,
    softmax,
    suppress,
)


def random_boxes(random, count, side=100):
    corners = random.uniform(0, side, (count, 2, 2)).astype(np.float32)
    return np.concatenate([corners.min(1), corners.max(1)], 1)


class TestExp:
    def test_within_one_unit_in_the_last_place(self):
        x = np.linspace(-80, 80, 200_001).astype(np.float32)
        expected = np.exp(x.astype(np.float64))
        assert (np.abs(exp(x) / expected - 1) < 1e-13).all()
        rounded = exp(x).astype(np.float32)
        close = np.nextafter(expected.astype(np.float32), np.float32([[-np.inf], [np.inf]]))
        assert ((rounded >= close[0]) & (rounded <= close[1])).all()

    def test_ends(self):
        assert exp(np.float32([0, -1e30, -800])).tolist() == [1, 0, 0]

    def test_one_number_by_hand(self):
        x = float(np.float32(1.7))
        k = round(x * 1.4426950408889634)
        r = x - k * 0.6931471805599453
        p = 1.0
        for n in range(13, 0, -1):
            p = 1 + p * r / n
        assert exp(np.float32([1.7]))[0] == p * 2**k


class TestSoftmax:
    def test_it_is_that_of_scipy(self):
        logits = np.random.default_rng(0).normal(0, 30, (100, 21)).astype(np.float32)
        logits[0] = 1e30, *[-1e30] * 20
        expected = scipy_softmax(logits.astype(np.float64), 1)
        assert np.allclose(softmax(logits), expected, rtol=1e-7, atol=1e-44)

    def test_one_row_by_hand(self):
        row = np.float32([0.3, -1.2, 2.5, 2.5])
        total, powers = 0.0, [float(exp(np.float64([x]) - 2.5)[0]) for x in row]
        for power in powers:
            total = total + power
        assert softmax(row[None]).tolist() == [[float(np.float32(p / total)) for p in powers]]


class TestSigmoid:
    def test_it_is_that_of_scipy(self):
        x = np.linspace(-120, 120, 100_001).astype(np.float32)
        assert np.allclose(sigmoid(x), expit(x.astype(np.float64)), rtol=1e-7, atol=1e-44)
        assert sigmoid(x).dtype == np.float32

    def test_ends(self):
        ends = np.float32([-np.inf, -3e38, -800, 0, 800, 3e38, np.inf])
        assert sigmoid(ends).tolist() == [0, 0, 0, 0.5, 1, 1, 1]

    def test_one_number_by_hand(self):
        x = np.float32(-1.7)
        expected = np.float32(1 / (1 + float(exp(np.float32([1.7]))[0])))
        assert sigmoid(np.array([x]))[0] == expected


def test_anchors_are_those_of_mmdetection():
    strides, sides = (4, 8, 16), ((24, 32), (12, 16), (6, 8))
    generator = AnchorGenerator(strides=list(strides), ratios=[0.5, 1.0, 2.0], scales=[4])
    expected = generator.grid_priors(sides, device="cpu")
    for level, (height, width) in enumerate(sides):
        base = generator.base_anchors[level].tolist()
        found = anchors(base, strides[level], height, width)
        assert found.dtype == np.float32
        assert np.array_equal(found, expected[level].numpy())


def test_areas():
    assert area(np.float32([[1, 2, 4, 7], [3, 3, 3, 9]])).tolist() == [15, 0]
    assert area(np.float32([1, 2, 4, 7])) == 15


def test_ties_keep_their_order():
    assert best_first(np.float32([1, 3, 1, 3, 2])).tolist() == [1, 3, 4, 0, 2]


def test_an_overlap_by_hand():
    found = overlaps(np.float32([[0, 0, 10, 10], [5, 5, 15, 15], [20, 0, 30, 10]]).T)
    assert found.dtype == np.float32
    assert found.tolist() == [np.float32(25) / np.float32(175), 0]


def test_overlap_of_empty_boxes_is_zero():
    boxes = np.float32([[5, 5, 5, 5], [0, 0, 10, 10]])
    assert overlaps(boxes[[0, 0, 1]].T).tolist() == [0, 0]
    assert overlaps(boxes[[1, 0, 1]].T).tolist() == [0, 1]


@given(st.integers(0, 30), st.floats(0.1, 0.9), st.integers(0, 10**6))
def test_suppression_is_that_of_torchvision(count, threshold, seed):
    random = np.random.default_rng(seed)
    boxes = random_boxes(random, count, side=30)
    scores = random.permutation(count).astype(np.float32)
    found = suppress(boxes, scores, np.zeros(count, int), threshold)
    expected = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    assert found.tolist() == expected.tolist()


def test_groups_do_not_suppress_one_another():
    boxes = np.float32([[0, 0, 10, 10]] * 4)
    found = suppress(boxes, np.float32([1, 4, 3, 2]), np.array([0, 0, 1, 1]), 0.5)
    assert found.tolist() == [1, 2]


def test_ties_go_to_the_lower_index():
    boxes = np.float32([[0, 0, 1, 1], [5, 5, 6, 6], [0, 0, 1, 1]])
    assert suppress(boxes, np.float32([2, 2, 2]), np.zeros(3, int), 0.5).tolist() == [0, 1]


@pytest.mark.parametrize(("threshold", "kept"), [(0.5, 2), (0.49, 1)])
def test_only_an_overlap_above_the_threshold_suppresses(threshold, kept):
    boxes = np.float32([[0, 0, 10, 10], [0, 0, 10, 5]])
    assert len(suppress(boxes, np.float32([2, 1]), np.zeros(2, int), threshold)) == kept
