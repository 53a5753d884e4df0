import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms

from lbwdet.deploy.runtime.alone import compute_alone, run_alone
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.soft_suppress import SoftSuppress

SEEDS = range(40)


def suppressed(rows, **settings):
    return compute_alone(Example(SoftSuppress("x", "y", 0.3, 1000, **settings), {"x": rows}))


@pytest.mark.parametrize("group", ["class", "all"])
@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
def test_it_is_that_of_mmcv(method, group):
    random = np.random.default_rng(0)
    corners = np.sort(random.uniform(0, 40, (60, 2, 2)), 1).reshape(-1, 4).astype(np.float32)
    rows = np.zeros((60, 7), np.float32)
    rows[:, :4], rows[:, 4] = corners, random.uniform(0.05, 1, 60)
    rows[:, 5] = random.integers(0, 3, 60)
    boxes, scores, labels = (torch.from_numpy(part) for part in (corners, rows[:, 4], rows[:, 5]))
    settings = dict(type="soft_nms", iou_threshold=0.3, method=method, min_score=0.02)
    expected, kept = batched_nms(boxes, scores, labels, settings, class_agnostic=group == "all")
    found = suppressed(rows, method=method, group=group, min_score=0.02)
    assert 0 < len(found) < 60
    assert (found[:, 4] < rows[kept.numpy(), 4]).any() or method == "naive"
    np.testing.assert_allclose(found[:, :5], expected.numpy(), rtol=1e-4, atol=1e-6)
    assert np.array_equal(found[:, 5], rows[kept.numpy(), 5])


@pytest.mark.parametrize("seed", SEEDS)
def test_against_a_plain_loop(seed):
    """Ties, empty boxes and small limits included."""
    case = SoftSuppress.example(np.random.default_rng(seed))
    operation, rows = case.operation, case.values["x"].copy()
    kept = []
    for label in range(3) if operation.group == "class" else [None]:
        left = [i for i, row in enumerate(rows) if label in (None, int(row[5]))]
        while left:
            best = max(left, key=lambda i: (rows[i, 4], -i))
            kept.append(best)
            left.remove(best)
            for other in left:
                rows[other, 4] *= plain_weight(operation, plain_overlap(rows[best], rows[other]))
            left = [i for i in left if rows[i, 4] >= np.float32(operation.min_score)]
    kept.sort(key=lambda i: (-rows[i, 4], i))
    assert np.array_equal(compute_alone(case), rows[kept[: operation.max_boxes]].reshape(-1, 7))


def plain_weight(operation, iou):
    f32 = np.float32
    if operation.method == "gaussian":
        return f32(np.exp(np.float64(-f32(iou * iou) / f32(operation.sigma))))
    if iou < f32(operation.iou_threshold):
        return f32(1)
    return f32(1) - iou if operation.method == "linear" else f32(0)


def plain_overlap(a, b):
    f32 = np.float32
    sides = [max(f32(min(a[i + 2], b[i + 2]) - max(a[i], b[i])), f32(0)) for i in (0, 1)]
    areas = [f32(f32(box[2] - box[0]) * f32(box[3] - box[1])) for box in (a, b)]
    common = f32(sides[0] * sides[1])
    union = f32(f32(areas[0] + areas[1]) - common)
    return f32(0) if union == 0 else f32(common / union)


def test_the_random_cases_meet_everything():
    operations = [SoftSuppress.example(np.random.default_rng(seed)).operation for seed in SEEDS]
    assert {operation.group for operation in operations} == {"class", "all"}
    assert {operation.method for operation in operations} == {"naive", "linear", "gaussian"}
    assert {operation.max_boxes for operation in operations} == {1, 10, 1000}


def test_nothing():
    assert suppressed(np.zeros((0, 7), np.float32)).shape == (0, 7)


@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
@pytest.mark.parametrize("end", [-np.inf, 1e30, np.nan])
def test_boxes_without_end_overlap_nothing(method, end):
    rows = np.zeros((4, 7), np.float32)
    rows[:, :4] = [[0, 0, 10, 10], [-np.inf, -np.inf, end, end], [1, 1, 11, 11], [50, 50, 60, 60]]
    rows[:, 4] = 0.9, 0.6, 0.8, 0.7
    with np.errstate(invalid="ignore", over="ignore"):
        found = suppressed(rows, method=method, group="all", min_score=0.0)
    assert found[found[:, 0] == -np.inf, 4] == np.float32(0.6)
    assert found[found[:, 0] == 1, 4] < 0.8
    if library_path() is not None:
        operation = SoftSuppress("x", "y", 0.3, 1000, "all", method, min_score=0.0)
        assert run_alone(Example(operation, {"x": rows})).tobytes() == found.tobytes()
