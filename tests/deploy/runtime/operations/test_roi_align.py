from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.arithmetic.roi_axis import axis_weights, levels_of, pool, scaled
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.deploy.runtime.quantization import Quantization

MAPS = ((24, 32), (12, 16), (6, 8))
STRIDES = (4, 8, 16)
f32 = np.float32


def random_case(seed, ratio=0, size=7):
    random = np.random.default_rng(seed)
    maps = [random.integers(0, 256, (1, *side, 2)).astype(np.uint8) for side in MAPS]
    corners = np.sort(random.uniform(0, 1, (30, 2, 2)), 1) * (128, 96)
    boxes = corners.reshape(-1, 4).astype(np.float32)
    boxes[0] = 0, 0, 128, 96
    boxes[1] = 128, 96, 128, 96
    quantizations = {
        "p0": Quantization(0.03, 128),
        "p1": Quantization(0.02, 120),
        "p2": Quantization(0.025, 0),
        "rois": Quantization(float(f32(0.021)), 110),
    }
    operation = RoIAlign(("p0", "p1", "p2"), "boxes", "rois", STRIDES, size, ratio, 16.0)
    return operation, maps, boxes, quantizations


def roi_align(operation, maps, boxes, quantizations):
    values = {f"p{level}": features for level, features in enumerate(maps)}
    return compute_alone(Example(operation, {**values, "boxes": boxes}, quantizations))


@pytest.mark.parametrize("ratio", [0, 2])
def test_before_rounding_it_is_torchvisions(ratio):
    operation, maps, boxes, quantizations = random_case(0, ratio)
    levels = levels_of(boxes, operation.finest_scale, len(maps))
    assert set(levels) == {0, 1, 2}
    for level, box in zip(levels, boxes, strict=True):
        q = quantizations[f"p{level}"]
        features = maps[level][0].astype(f32) - f32(q.zero_point)
        expected = torchvision.ops.roi_align(
            torch.from_numpy(features).permute(2, 0, 1)[None],
            [torch.from_numpy(box[None])],
            (7, 7),
            1 / STRIDES[level],
            ratio,
            aligned=True,
        )
        x1, y1, x2, y2 = box
        found = pool(
            features,
            axis_weights(y1, y2, STRIDES[level], 7, ratio, features.shape[0]),
            axis_weights(x1, x2, STRIDES[level], 7, ratio, features.shape[1]),
        )
        assert np.allclose(found, expected[0].permute(1, 2, 0).numpy(), atol=2e-3)


def test_a_scale_that_is_1_in_float32_changes_no_box():
    random = np.random.default_rng(0)
    boxes = np.sort(random.uniform(0, 120, (50, 2, 2)), 1).reshape(-1, 4).astype(np.float32)
    assert scaled(boxes, 1 + 1e-9) is boxes


def test_larger_boxes_keep_the_level_of_their_own():
    operation, maps, boxes, quantizations = random_case(2)
    found = roi_align(replace(operation, box_scale=1.3), maps, boxes, quantizations)
    middle = (boxes[:, :2] + boxes[:, 2:]) * f32(0.5)
    reach = (boxes[:, 2:] - boxes[:, :2]) * f32(1.3) * f32(0.5)
    larger = np.concatenate([middle - reach, middle + reach], 1)
    # On one map alone there is one level.
    levels = levels_of(boxes, operation.finest_scale, len(maps))
    assert (levels != levels_of(larger, operation.finest_scale, len(maps))).any()
    for level in range(3):
        one = replace(operation, inputs=(f"p{level}",), strides=STRIDES[level : level + 1])
        expected = roi_align(one, maps, larger, quantizations)
        assert np.array_equal(found[levels == level], expected[levels == level])


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
def test_number_by_number(ratio, aligned):
    operation, maps, boxes, quantizations = random_case(1, ratio)
    operation = replace(operation, aligned=aligned)
    found = roi_align(operation, maps, boxes, quantizations)
    q_y = quantizations["rois"]
    assert found.shape == (30, 7, 7, 2) and found.dtype == np.uint8
    for number in range(0, 30, 4):
        box = boxes[number]
        size = f32(f32(np.sqrt(f32((box[2] - box[0]) * (box[3] - box[1])))) / f32(16)) + f32(1e-6)
        level = sum(size >= 2**step for step in (1, 2))
        q, features = quantizations[f"p{level}"], maps[level][0]
        wy = plain_weights(box[1], box[3], STRIDES[level], 7, ratio, features.shape[0], aligned)
        wx = plain_weights(box[0], box[2], STRIDES[level], 7, ratio, features.shape[1], aligned)
        for by, bx, channel in np.ndindex(7, 7, 2):
            t = f32(0)
            for row in range(features.shape[0]):
                line = f32(0)
                for column in range(features.shape[1]):
                    real = f32(int(features[row, column, channel]) - q.zero_point)
                    line = f32(line + f32(wx[bx][column] * real))
                t = f32(t + f32(wy[by][row] * line))
            y = np.rint(f32(t * f32(q.scale / q_y.scale))) + q_y.zero_point
            assert found[number, by, bx, channel] == np.clip(y, 0, 255)


def plain_weights(first, second, stride, size, ratio, length, aligned):
    """The page's words about one axis, one number at a time."""
    weights = [[f32(0)] * length for _ in range(size)]
    scale = f32(1 / stride)
    shift = f32(0.5 if aligned else 0)
    start = f32(f32(first * scale) - shift)
    extent = f32(f32(f32(second * scale) - shift) - start)
    if not aligned:
        extent = max(extent, f32(1))
    bin_size = f32(extent / f32(size))
    grid = ratio if ratio > 0 else int(np.ceil(bin_size))
    for index in range(size):
        for i in range(grid):
            offset = f32(f32(f32(i + 0.5) * bin_size) / f32(grid))
            u = f32(f32(start + f32(f32(index) * bin_size)) + offset)
            if u < -1 or u > length:
                continue
            u = max(u, f32(0))
            j = int(np.floor(u))
            if j >= length - 1:
                j, following, u = length - 1, length - 1, f32(length - 1)
            else:
                following = j + 1
            fraction = f32(u - f32(j))
            weights[index][j] = f32(weights[index][j] + f32(f32(1) - fraction))
            weights[index][following] = f32(weights[index][following] + fraction)
        if grid > 0:
            weights[index] = [f32(weight * f32(1 / grid)) for weight in weights[index]]
    return weights


def test_boxes_without_extent_give_zeros():
    operation, maps, _, quantizations = random_case(2)
    boxes = f32([[30, 30, 30, 50], [30, 30, 50, 30]])
    assert (roi_align(operation, maps, boxes, quantizations) == 110).all()


def test_no_boxes():
    operation, maps, _, quantizations = random_case(2)
    found = roi_align(operation, maps, np.zeros((0, 4), np.float32), quantizations)
    assert found.shape == (0, 7, 7, 2)


BAD = f32(
    [
        [np.nan, 0, 10, 10],
        [0, 0, np.inf, 10],
        [-np.inf, 0, np.inf, 10],
        [20, 20, 10, 10],
        [0, 0, 3e38, 10],
        [-3e38, 0, 3e38, 10],
    ]
)


@pytest.mark.parametrize("ratio", [0, 2])
def test_boxes_that_are_none_give_zeros(ratio):
    """Inverted, endless, no numbers: whatever a network may come up with."""
    operation, maps, _, quantizations = random_case(2, ratio)
    with np.errstate(invalid="ignore", over="ignore"):
        assert (roi_align(operation, maps, BAD, quantizations) == 110).all()


def test_in_reals_before_it_is_calibrated():
    operation, maps, boxes, quantizations = random_case(3)
    centered = [
        features.astype(f32) - f32(quantizations[name].zero_point)
        for name, features in zip(operation.inputs, maps, strict=True)
    ]
    reals = [
        features * f32(quantizations[name].scale)
        for name, features in zip(operation.inputs, centered, strict=True)
    ]
    found = roi_align(operation, reals, boxes, {})
    q = quantizations["rois"]
    integers = roi_align(operation, maps, boxes, quantizations)
    assert found.dtype == f32
    expected = np.clip(np.rint(found / q.scale) + q.zero_point, 0, 255)
    assert np.abs(integers - expected).max() <= 1
    assert np.mean(integers != expected) < 0.01
