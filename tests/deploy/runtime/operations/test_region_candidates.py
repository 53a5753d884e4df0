import numpy as np
import pytest
import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from scipy.special import softmax as scipy_softmax

from lbwdet.deploy.runtime.operations import BoxCoder, Detections
from lbwdet.deploy.runtime.reference.detections import detections, softmax

STDS = (0.1, 0.1, 0.2, 0.2)


def operation(**changes):
    settings = dict(
        scores="scores",
        deltas="deltas",
        boxes="boxes",
        num_classes=3,
        class_agnostic=False,
        coder=BoxCoder((0.0,) * 4, STDS, 16 / 1000),
        score_threshold=0.05,
        iou_threshold=0.5,
        max_boxes=30,
    )
    return Detections(**{**settings, **changes})


def random_case(seed, count=60, classes=3, boxes_per_proposal=3):
    random = np.random.default_rng(seed)
    corners = np.sort(random.uniform(0, 1, (count, 2, 2)), 1) * (120, 90)
    return (
        random.normal(0, 2, (count, 1, 1, classes + 1)).astype(np.float32),
        random.normal(0, 1, (count, 1, 1, 4 * boxes_per_proposal)).astype(np.float32),
        corners.reshape(count, 4).astype(np.float32),
    )


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_they_are_those_of_mmdetection(seed, class_agnostic):
    from mmdet.models.layers import multiclass_nms

    scores, deltas, boxes = random_case(seed, boxes_per_proposal=1 if class_agnostic else 3)
    found, found_scores, labels = detections(
        operation(class_agnostic=class_agnostic), scores, deltas, boxes, (90, 120), (180, 60)
    )
    coder = DeltaXYWHBBoxCoder(target_stds=STDS)
    each = torch.from_numpy(deltas).reshape(60, -1, 4)
    starts = torch.from_numpy(boxes)[:, None].expand_as(each)
    decoded = coder.decode(starts.reshape(-1, 4), each.reshape(-1, 4), max_shape=(90, 120))
    decoded = decoded.reshape(60, -1, 4) * torch.tensor([0.5, 2, 0.5, 2])
    expected, expected_labels = multiclass_nms(
        decoded.reshape(60, -1),
        torch.from_numpy(scores).reshape(60, 4).softmax(1),
        0.05,
        dict(type="nms", iou_threshold=0.5),
        30,
    )
    assert labels.tolist() == expected_labels.tolist()
    assert np.allclose(found, expected[:, :4].numpy(), atol=1e-3)
    assert np.allclose(found_scores, expected[:, 4].numpy(), atol=1e-6)
    assert (found.dtype, found_scores.dtype, labels.dtype) == (np.float32, np.float32, np.int64)


def test_softmax():
    logits = np.random.default_rng(0).normal(0, 30, (100, 21)).astype(np.float32)
    logits[0] = 1e30, *[-1e30] * 20
    expected = scipy_softmax(logits.astype(np.float64), 1)
    assert np.allclose(softmax(logits), expected, rtol=1e-7, atol=1e-44)


def test_ties_go_to_the_lower_box_then_the_lower_class():
    scores, deltas = np.zeros((2, 1, 1, 3), np.float32), np.zeros((2, 1, 1, 4), np.float32)
    boxes = np.float32([[0, 0, 10, 10], [50, 50, 60, 60]])
    one = operation(num_classes=2, class_agnostic=True)
    found, _, labels = detections(one, scores, deltas, boxes, (90, 90), (90, 90))
    assert labels.tolist() == [0, 1, 0, 1]
    assert found[:, 0].tolist() == [0, 0, 50, 50]


def test_no_proposals_no_detections():
    scores, deltas, boxes = (value[:0] for value in random_case(0))
    found = detections(operation(), scores, deltas, boxes, (90, 120), (90, 120))
    assert [value.shape for value in found] == [(0, 4), (0,), (0,)]


def test_nothing_above_the_threshold():
    found = detections(operation(score_threshold=1.0), *random_case(0), (90, 120), (90, 120))
    assert len(found[1]) == 0
