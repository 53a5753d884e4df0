import numpy as np
import pytest
import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.arithmetic.boxes import sigmoid, softmax
from lbwdet.deploy.runtime.coders import DeltaCoder
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.deploy.runtime.operations.suppress import Suppress

SEEDS = 30
STDS = (0.1, 0.1, 0.2, 0.2)


def operation(**changes):
    settings = dict(
        scores="scores",
        deltas="deltas",
        boxes="boxes",
        output="candidates",
        num_classes=3,
        class_agnostic=False,
        coder=DeltaCoder((0.0,) * 4, STDS, 16 / 1000),
        score_threshold=0.05,
    )
    return RegionCandidates(**{**settings, **changes})


def candidates(operation, scores, deltas, boxes, resized=(90, 120)):
    values = dict(scores=scores, deltas=deltas, boxes=boxes)
    found = compute_alone(Example(operation, values, resized=resized))
    assert found.dtype == np.float32 and found.shape[1:] == (7,)
    return found


def detections(rows, resized, original):
    """As the region head's result: in the original's pixels, suppressed class by class."""
    image = np.zeros((*original, 3), np.uint8)
    rescaled = compute_alone(Example(Rescale("x", "y"), {"x": rows}, image=image, resized=resized))
    return compute_alone(Example(Suppress("x", "y", 0.5, 30, "class"), {"x": rescaled}))


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
    rows = candidates(operation(class_agnostic=class_agnostic), scores, deltas, boxes)
    found = detections(rows, (90, 120), (180, 60))
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
    assert len(found) == 30
    assert found[:, 5].tolist() == expected_labels.tolist()
    assert np.allclose(found[:, :4], expected[:, :4].numpy(), atol=1e-3)
    assert np.allclose(found[:, 4], expected[:, 4].numpy(), atol=1e-6)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_against_a_plain_loop(seed):
    case = RegionCandidates.example(np.random.default_rng(seed))
    one, values, rows = case.operation, case.values, []
    for box, prior in enumerate(values["boxes"]):
        logits, classes = values["scores"][box].reshape(1, -1), one.num_classes
        if one.activation == "sigmoid":
            scores = sigmoid(logits)[0]
        elif one.activation == "seesaw":
            scores = softmax(logits[:, :classes])[0] * softmax(logits[:, classes:])[0, 0]
        else:
            scores = softmax(logits)[0]
        for label in range(one.num_classes):
            if scores[label] > np.float32(one.score_threshold):
                first = 0 if one.class_agnostic else 4 * label
                deltas = values["deltas"][box, 0, 0, first : first + 4]
                decoded = one.coder.decode(prior[None], deltas[None], *case.resized)[0]
                rows.append([*decoded, scores[label], label, box if one.numbered else 0])
                rows[-1].append(box)
    if one.best:
        rows = sorted(rows, key=lambda row: -row[4])[: one.best]  # stable
    rows = [
        [*row[:4], row[4] * (values["factors"][box, 0, 0, 0] if one.factors else 1), *row[5:]]
        for *row, box in rows
    ]
    assert np.array_equal(compute_alone(case), np.array(rows, np.float32).reshape(-1, 7))


def test_the_random_cases_meet_everything():
    cases = [RegionCandidates.example(np.random.default_rng(seed)) for seed in range(SEEDS)]
    assert {case.operation.activation for case in cases} == {"softmax", "seesaw", "sigmoid"}
    limited = [c for c in cases if 0 < c.operation.best < len(c.values["boxes"])]
    assert limited and any(c.operation.numbered for c in limited)


def test_the_order_is_that_of_the_boxes_then_of_the_classes():
    scores, deltas = np.zeros((2, 1, 1, 3), np.float32), np.zeros((2, 1, 1, 4), np.float32)
    boxes = np.float32([[0, 0, 10, 10], [50, 50, 60, 60]])
    one = operation(num_classes=2, class_agnostic=True)
    rows = candidates(one, scores, deltas, boxes, (90, 90))
    assert rows[:, 5].tolist() == [0, 1, 0, 1]
    assert rows[:, 0].tolist() == [0, 0, 50, 50]
    # ties in suppression: the earlier one
    assert np.array_equal(detections(rows, (90, 90), (90, 90)), rows)


def test_no_proposals_no_candidates():
    scores, deltas, boxes = (value[:0] for value in random_case(0))
    assert candidates(operation(), scores, deltas, boxes).shape == (0, 7)


def test_nothing_above_the_threshold():
    assert len(candidates(operation(score_threshold=1.0), *random_case(0))) == 0
