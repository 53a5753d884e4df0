"""nms, soft_nms, nms_match and bbox_overlaps against plain loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import batched_nms, bbox_overlaps, nms, nms_match, soft_nms

THRESHOLDS = (0.0, 0.25, 0.5, 0.6, 1.0)


@st.composite
def detections(draw):
    """Boxes on a coarse grid (equal, touching and empty ones occur) with distinct scores."""
    count = draw(st.integers(0, 12))
    corner = st.integers(0, 6)
    boxes = [
        (x, y, x + w, y + h)
        for x, y, w, h in draw(
            st.lists(st.tuples(corner, corner, corner, corner), min_size=count, max_size=count)
        )
    ]
    order = draw(st.permutations(range(count)))
    scores = [(rank + 1) / (count + 1) for rank in order]
    return (
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(scores, dtype=torch.float32),
    )


def overlap(a, b, offset=0, over_first=False):
    """Overlap of two boxes in float32; 0/0 is NaN."""
    a, b = np.float32(a), np.float32(b)
    width = max(min(a[2], b[2]) - max(a[0], b[0]) + offset, np.float32(0))
    height = max(min(a[3], b[3]) - max(a[1], b[1]) + offset, np.float32(0))
    total = (a[2] - a[0] + offset) * (a[3] - a[1] + offset)
    if not over_first:
        total += (b[2] - b[0] + offset) * (b[3] - b[1] + offset) - width * height
    return width * height / total if total else math.nan


def naive_nms(boxes, scores, threshold, offset=0):
    kept = []
    for i in np.argsort(-scores.numpy()):
        if not any(overlap(boxes[j], boxes[i], offset) > np.float32(threshold) for j in kept):
            kept.append(int(i))
    return kept


def naive_soft_nms(boxes, scores, threshold, sigma, min_score, method, offset):
    left = {i: float(score) for i, score in enumerate(scores)}
    kept = []
    while left:
        best = max(left, key=left.__getitem__)
        kept.append((best, left.pop(best)))
        for i in list(left):
            ratio = overlap(boxes[best], boxes[i], offset)
            ratio = 0.0 if math.isnan(ratio) else float(ratio)
            if method == "gaussian":
                left[i] *= math.exp(-(ratio**2) / sigma)
            elif ratio >= np.float32(threshold):
                left[i] *= 1 - ratio if method == "linear" else 0
            if left[i] < min_score:
                del left[i]
    return kept


@settings(max_examples=60, deadline=None)
@given(detections(), st.sampled_from(THRESHOLDS), st.sampled_from([0, 1]))
def test_nms_matches_loops(found, threshold, offset):
    boxes, scores = found
    dets, kept = nms(boxes, scores, threshold, offset=offset)
    assert kept.tolist() == naive_nms(boxes, scores, threshold, offset)
    assert torch.equal(dets, torch.cat([boxes[kept], scores[kept, None]], dim=1))


def test_nms_compares_in_the_precision_of_the_boxes():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 6]])  # overlap: float32(0.6) > 0.6
    assert len(nms(boxes, torch.tensor([0.9, 0.8]), 0.6)[1]) == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("offset", [0, 1])
def test_nms_dtypes(dtype, offset):
    boxes = torch.tensor([[0, 0, 8, 8], [1, 0, 8, 8], [20, 20, 30, 30]], dtype=dtype)
    dets, kept = nms(boxes, torch.tensor([0.5, 0.75, 0.25], dtype=dtype), 0.5, offset=offset)
    assert kept.tolist() == [1, 2]
    assert dets.dtype == dtype


def test_nms_takes_numpy_score_threshold_and_maximum():
    boxes = np.array([[0, 0, 1, 1], [5, 5, 6, 6], [9, 9, 10, 10]], dtype=np.float32)
    scores = np.array([0.1, 0.8, 0.9], dtype=np.float32)
    _, kept = nms(boxes, scores, 0.5, score_threshold=0.2)
    assert kept.tolist() == [2, 1]
    _, kept = nms(boxes, scores, 0.5, max_num=1)
    assert kept.tolist() == [2]


@pytest.mark.parametrize("split_thr", [2, 10000])
@pytest.mark.parametrize("kind", ["nms", "soft_nms"])
def test_batched_nms_keeps_classes_apart(kind, split_thr):
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(4, 1)
    scores, labels = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0, 0, 1, 1])
    config = dict(type=kind, iou_threshold=0.5, split_thr=split_thr)
    _, kept = batched_nms(boxes, scores, labels, config)
    assert kept.tolist() == [0, 2]


@settings(max_examples=60, deadline=None)
@given(
    detections(),
    st.sampled_from(THRESHOLDS),
    st.sampled_from(["naive", "linear", "gaussian"]),
    st.sampled_from([1e-3, 0.3]),
    st.sampled_from([0, 1]),
)
def test_soft_nms_matches_loops(found, threshold, method, min_score, offset):
    boxes, scores = found
    dets, kept = soft_nms(boxes, scores, threshold, 0.5, min_score, method, offset)
    expected = naive_soft_nms(boxes, scores, threshold, 0.5, min_score, method, offset)
    # Scores that become equal by decay may change places, so compare as sets.
    assert sorted(kept.tolist()) == sorted(index for index, _ in expected)
    assert torch.equal(dets[:, :4], boxes[kept])
    by_index = dict(expected)
    for index, score in zip(kept.tolist(), dets[:, 4].tolist(), strict=True):
        assert score == pytest.approx(by_index[index], rel=1e-4)
    assert (dets[1:, 4] <= dets[:-1, 4]).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_soft_nms_dtypes(dtype):
    boxes = torch.tensor([[0, 0, 8, 8], [0, 0, 8, 4]], dtype=dtype)
    dets, kept = soft_nms(boxes, torch.tensor([0.5, 1.0], dtype=dtype), 0.25, method="linear")
    assert kept.tolist() == [1, 0]
    assert dets.dtype == dtype
    assert dets[:, 4].tolist() == [1.0, 0.25]


def test_soft_nms_takes_numpy():
    dets, kept = soft_nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    assert isinstance(dets, np.ndarray)
    assert dets.shape == (0, 5)
    assert kept.shape == (0,)


@settings(max_examples=60, deadline=None)
@given(detections(), st.sampled_from(THRESHOLDS[1:]))
def test_nms_match_matches_loops(found, threshold):
    boxes, scores = found
    left = np.argsort(-scores.numpy()).tolist()
    expected = []
    while left:
        best, *rest = left
        matched = [i for i in rest if overlap(boxes[best], boxes[i]) >= np.float32(threshold)]
        expected.append([best, *matched])
        left = [i for i in rest if i not in matched]
    groups = nms_match(torch.cat([boxes, scores[:, None]], dim=1), threshold)
    assert [group.tolist() for group in groups] == expected


def test_nms_match_takes_numpy():
    dets = np.array([[0, 0, 4, 4, 0.5], [0, 0, 4, 4, 0.9]], dtype=np.float64)
    assert [group.tolist() for group in nms_match(dets, 0.5)] == [[1, 0]]


@settings(max_examples=40, deadline=None)
@given(detections(), st.sampled_from(["iou", "iof"]), st.sampled_from([0, 1]))
def test_bbox_overlaps_matches_loops(found, mode, offset):
    boxes, _ = found
    others = boxes.flip(0)
    expected = torch.tensor(
        [[overlap(a, b, offset, over_first=mode == "iof") for b in others] for a in boxes],
        dtype=torch.float32,
    ).reshape(len(boxes), len(boxes))
    full = bbox_overlaps(boxes, others, mode, offset=offset)
    torch.testing.assert_close(full, expected, equal_nan=True)
    paired = bbox_overlaps(boxes, others, mode, aligned=True, offset=offset)
    torch.testing.assert_close(paired, expected.diagonal(), equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_bbox_overlaps_dtypes_and_empty(dtype):
    boxes = torch.tensor([[0, 0, 300, 300]], dtype=dtype)  # the area overflows float16
    assert bbox_overlaps(boxes, boxes).tolist() == [[1.0]]
    assert bbox_overlaps(boxes, boxes).dtype == dtype
    assert bbox_overlaps(boxes, boxes[:0]).shape == (1, 0)
