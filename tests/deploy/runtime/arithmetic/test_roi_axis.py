import numpy as np
import pytest
import torch
import torchvision

from lbwdet.deploy.runtime.arithmetic.roi_axis import (
    MAX_EXTENT,
    axis_weights,
    cells,
    levels_of,
    pool,
)

f32 = np.float32


def plain_weights(first, second, stride, size, ratio, length):
    """The page's words about one axis, one number at a time."""
    weights = [[f32(0)] * length for _ in range(size)]
    scale = f32(1 / stride)
    start = f32(f32(first * scale) - f32(0.5))
    extent = f32(f32(f32(second * scale) - f32(0.5)) - start)
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


@pytest.mark.parametrize("ratio", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_weights_one_by_one(size, ratio):
    random = np.random.default_rng(size)
    for first, second in np.sort(random.uniform(-10, 150, (40, 2)), 1).astype(f32):
        found = axis_weights(first, second, 8, size, ratio, 16)
        assert found.dtype == f32
        assert found.tolist() == plain_weights(first, second, 8, size, ratio, 16)


def test_weights_within_the_map_add_up_to_one():
    found = axis_weights(f32(20), f32(90), 8, 7, 0, 16)
    assert np.allclose(found.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (20, 10),
        (np.nan, 10),
        (10, np.nan),
        (0, np.inf),
        (-np.inf, np.inf),
        (np.inf, np.inf),
        (0, 3e38),
        (-3e38, 3e38),
        (0, 8 * MAX_EXTENT + 8),
    ],
)
def test_sides_that_are_none_give_zeros(first, second, ratio):
    with np.errstate(invalid="ignore", over="ignore"):
        found = axis_weights(f32(first), f32(second), 8, 7, ratio, 16)
    assert found.shape == (7, 16) and (found == 0).all()


def test_the_longest_side():
    """Of 2**20 pixels of the map, and as many samples."""
    found = axis_weights(f32(0), f32(8 * MAX_EXTENT), 8, 1, 0, 16)
    assert found.min() > 0 and found.sum() < 1e-4


def test_a_side_without_extent():
    """As many samples as it spans pixels are none; a given number of them counts one pixel."""
    assert (axis_weights(f32(40), f32(40), 8, 3, 0, 16) == 0).all()
    found = axis_weights(f32(40), f32(40), 8, 3, 2, 16)
    assert (found[:, 4] == 0.5).all() and (found[:, 5] == 0.5).all()


def test_levels():
    sides = f32([15, 31.9, 32, 63.9, 64, 1000])
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], 1)
    assert levels_of(boxes, 16.0, 3).tolist() == [0, 0, 1, 1, 2, 2]
    assert levels_of(boxes, 16.0, 1).tolist() == [0] * 6


def test_levels_of_what_is_no_box():
    """Any level will do: the box gives zeros. But it must be one."""
    boxes = f32([[np.nan] * 4, [0, 0, np.inf, 5], [10, 0, 0, 5], [0, 0, 3e38, 3e38]])
    with np.errstate(invalid="ignore", over="ignore"):
        levels = levels_of(boxes, 16.0, 3)
    assert ((levels >= 0) & (levels <= 2)).all()


@pytest.mark.parametrize("aligned", [True, False])
def test_pooling_is_torchvisions(aligned):
    random = np.random.default_rng(0)
    features = random.normal(0, 1, (12, 16, 5)).astype(f32)
    corners = np.sort(random.uniform(0, 1, (30, 2, 2)), 1) * (128, 96)
    for x1, y1, x2, y2 in corners.reshape(-1, 4).astype(f32):
        found = pool(
            features,
            axis_weights(y1, y2, 8, 7, 2, 12, aligned),
            axis_weights(x1, x2, 8, 7, 2, 16, aligned),
        )
        expected = torchvision.ops.roi_align(
            torch.from_numpy(features).permute(2, 0, 1)[None],
            [torch.tensor([[x1, y1, x2, y2]])],
            (7, 7),
            1 / 8,
            2,
            aligned=aligned,
        )
        assert np.allclose(found, expected[0].permute(1, 2, 0).numpy(), atol=1e-4)


def test_each_cell_is_pooled_from_its_own_map():
    random = np.random.default_rng(1)
    features = random.normal(0, 1, (12, 16, 5, 3, 3)).astype(f32)
    weights_y, weights_x = (
        axis_weights(f32(9), f32(80), 8, 3, 0, 12),
        axis_weights(f32(30), f32(100), 8, 3, 0, 16),
    )
    found = cells(features, weights_y, weights_x)
    assert found.shape == (5, 3, 3)
    for row, column in np.ndindex(3, 3):
        alone = pool(features[..., row, column], weights_y, weights_x)[row, column]
        assert np.array_equal(found[:, row, column], alone)


def test_nothing_is_pooled_without_weights():
    features, none = np.ones((4, 5, 2), f32), np.zeros((3, 4), f32)
    assert pool(features, none, np.ones((3, 5), f32)).tolist() == np.zeros((3, 3, 2)).tolist()
    maps = np.ones((4, 5, 2, 3, 3), f32)
    assert cells(maps, none, np.ones((3, 5), f32)).tolist() == np.zeros((2, 3, 3)).tolist()
