import numpy as np
import pytest
import torch
import torchvision
from mmdet.models.layers import fast_nms

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.suppress import Suppress

SEEDS = range(60)


def suppressed(rows, iou_threshold=0.5, max_boxes=100, group="class"):
    return compute_alone(Example(Suppress("x", "y", iou_threshold, max_boxes, group), {"x": rows}))


def rows_of(boxes, scores, labels=0, levels=0):
    rows = np.zeros((len(boxes), 7), np.float32)
    rows[:, :4], rows[:, 4], rows[:, 5], rows[:, 6] = boxes, scores, labels, levels
    return rows


@pytest.mark.parametrize("group", ["class", "level", "all"])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_that_of_torchvision(group, seed):
    random = np.random.default_rng(seed)
    corners = np.sort(random.uniform(0, 40, (80, 2, 2)), 1).reshape(-1, 4).astype(np.float32)
    rows = rows_of(
        corners, random.permutation(80), random.integers(0, 3, 80), random.integers(0, 2, 80)
    )
    groups = {"class": rows[:, 5], "level": rows[:, 6], "all": np.zeros(80)}[group]
    kept = torchvision.ops.batched_nms(
        torch.from_numpy(corners), torch.from_numpy(rows[:, 4]), torch.from_numpy(groups), 0.5
    )
    found = suppressed(rows, group=group)
    assert 0 < len(found) < 80
    assert np.array_equal(found, rows[kept.numpy()])


@pytest.mark.parametrize("seed", SEEDS)
def test_against_a_plain_loop(seed):
    """Ties, empty boxes and small limits included."""
    case = Suppress.example(np.random.default_rng(seed))
    operation, rows, kept, met = case.operation, case.values["x"], [], []
    column = {"class": 5, "level": 6}.get(operation.group)
    for row in sorted(rows, key=lambda row: -row[4]):  # stable
        group = 0 if column is None else row[column]
        before = [other for of, other, is_kept in met if of == group]
        if operation.most_of_group and len(before) >= operation.most_of_group:
            continue
        droppers = [
            other for of, other, is_kept in met if of == group and (is_kept or operation.fast)
        ]
        is_kept = not any(
            plain_overlap(other, row) > np.float32(operation.iou_threshold) for other in droppers
        )
        met.append((group, row, is_kept))
        kept += [row] * is_kept
    expected = np.array(kept, np.float32).reshape(-1, 7)[: operation.max_boxes]
    assert np.array_equal(compute_alone(case), expected)


def plain_overlap(a, b):
    f32 = np.float32
    sides = [max(f32(min(a[i + 2], b[i + 2]) - max(a[i], b[i])), f32(0)) for i in (0, 1)]
    areas = [f32(f32(box[2] - box[0]) * f32(box[3] - box[1])) for box in (a, b)]
    common = f32(sides[0] * sides[1])
    union = f32(f32(areas[0] + areas[1]) - common)
    return f32(0) if union == 0 else f32(common / union)


def test_the_random_cases_meet_everything():
    operations = [Suppress.example(np.random.default_rng(seed)).operation for seed in SEEDS]
    assert {operation.group for operation in operations} == {"class", "level", "all"}
    assert {operation.max_boxes for operation in operations} == {1, 10, 1000}
    assert {operation.iou_threshold for operation in operations} == {0, 0.3, 0.7, 1}
    assert {operation.fast for operation in operations} == {True, False}
    assert {operation.most_of_group for operation in operations} == {0, 5, 40}


def test_yolact_finds_the_same():
    random = np.random.default_rng(0)
    corners = np.sort(random.uniform(0, 40, (60, 2, 2)), 1).reshape(-1, 4).astype(np.float32)
    scores = random.permutation(180).reshape(60, 3).astype(np.float32) / 180
    anchors, labels = np.divmod(np.arange(180), 3)
    rows = rows_of(corners[anchors], scores.reshape(-1), labels)
    operation = Suppress("x", "y", 0.4, 40, "class", fast=True, most_of_group=25)
    found = compute_alone(Example(operation, {"x": rows[rows[:, 4] > 0.1]}))
    background = torch.from_numpy(np.column_stack([scores, np.zeros(60, np.float32)]))
    boxes, classes, _ = fast_nms(
        torch.from_numpy(corners), background, torch.zeros(60, 1), 0.1, 0.4, 25, 40
    )
    assert len(found) == len(boxes) == 40
    assert np.array_equal(found[:, :5], boxes.numpy())
    assert np.array_equal(found[:, 5], classes.numpy())


def test_the_best_remain():
    boxes = np.float32([[20 * n, 0, 20 * n + 10, 10] for n in range(6)])
    found = suppressed(rows_of(boxes, [3, 1, 4, 1, 5, 2]), max_boxes=3)
    assert found[:, 4].tolist() == [5, 4, 3]


def test_nothing():
    assert suppressed(np.zeros((0, 7), np.float32)).shape == (0, 7)
