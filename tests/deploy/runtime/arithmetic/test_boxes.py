import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder

from lbwdet.deploy.runtime.operations import BoxCoder
from lbwdet.deploy.runtime.reference.boxes import decode, exp, overlap, suppress


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


def test_decoding_is_that_of_mmdetection():
    random = np.random.default_rng(0)
    boxes = random_boxes(random, 500)
    deltas = random.normal(0, 3, (500, 4)).astype(np.float32)
    means, stds = (0.1, -0.1, 0.05, 0.0), (0.1, 0.1, 0.2, 0.2)
    found = decode(BoxCoder(means, stds, 16 / 1000), boxes, deltas, 90, 120)
    expected = DeltaXYWHBBoxCoder(target_means=means, target_stds=stds).decode(
        torch.from_numpy(boxes), torch.from_numpy(deltas), max_shape=(90, 120)
    )
    assert np.allclose(found, expected.numpy(), atol=1e-3, rtol=1e-5)
    assert found.dtype == np.float32
    assert found[:, 2].max() == 120 and found[:, 3].max() == 90 and found.min() == 0


def test_a_stretch_has_its_limit():
    boxes, deltas = np.float32([[10, 10, 11, 11]]), np.float32([[0, 0, 50, -50]])
    coder = BoxCoder((0.0,) * 4, (1.0,) * 4, 0.5)
    assert np.allclose(
        decode(coder, boxes, deltas, 100, 100), [[9.5, 10.25, 11.5, 10.75]], atol=1e-5
    )


def test_overlap_of_empty_boxes_is_zero():
    boxes = np.float32([[5, 5, 5, 5], [0, 0, 10, 10]])
    assert overlap(boxes[0], boxes).tolist() == [0, 0]
    assert overlap(boxes[1], boxes).tolist() == [0, 1]


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
