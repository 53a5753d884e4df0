import numpy as np
import pytest
import torch
import torchvision

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.arithmetic.roi_axis import axis_weights
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.ps_roi_align import PSRoIAlign

HEIGHT, WIDTH, STRIDE, OUTPUTS = 12, 16, 8, 5
f32 = np.float32


def random_case(seed, size=3, ratio=2):
    random = np.random.default_rng(seed)
    scores = random.normal(0, 2, (1, HEIGHT, WIDTH, OUTPUTS * size**2)).astype(f32)
    corners = np.sort(random.uniform(0, 1, (30, 2, 2)), 1) * (WIDTH * STRIDE, HEIGHT * STRIDE)
    boxes = corners.reshape(-1, 4).astype(f32)
    boxes[0] = 0, 0, WIDTH * STRIDE, HEIGHT * STRIDE
    boxes[1] = WIDTH * STRIDE, HEIGHT * STRIDE, WIDTH * STRIDE, HEIGHT * STRIDE
    return PSRoIAlign("maps", "boxes", "votes", STRIDE, size, ratio), scores, boxes


def ps_roi_align(operation, scores, boxes):
    return compute_alone(Example(operation, {"maps": scores, "boxes": boxes}))


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_it_is_the_mean_of_torchvisions_cells(size, ratio):
    operation, scores, boxes = random_case(0, size, ratio)
    cells = torchvision.ops.ps_roi_align(
        torch.from_numpy(scores).permute(0, 3, 1, 2),
        [torch.from_numpy(boxes)],
        size,
        1 / STRIDE,
        ratio or -1,
    )
    found = ps_roi_align(operation, scores, boxes)
    assert found.shape == (30, 1, 1, OUTPUTS) and found.dtype == f32
    expected = cells.mean((2, 3)).nan_to_num().numpy()  # 0 / 0 samples of an empty box
    assert np.abs(expected).max() > 0.5
    assert np.allclose(found[:, 0, 0], expected, atol=1e-5)


def test_number_by_number():
    operation, scores, boxes = random_case(1)
    found = ps_roi_align(operation, scores, boxes)
    for number in range(0, 30, 7):
        x1, y1, x2, y2 = boxes[number]
        wy = axis_weights(y1, y2, STRIDE, 3, 2, HEIGHT)
        wx = axis_weights(x1, x2, STRIDE, 3, 2, WIDTH)
        for d in range(OUTPUTS):
            votes = f32(0)
            for by, bx in np.ndindex(3, 3):
                cell = f32(0)
                for row in range(HEIGHT):
                    line = f32(0)
                    for column in range(WIDTH):
                        value = scores[0, row, column, (d * 3 + by) * 3 + bx]
                        line = f32(line + f32(wx[bx][column] * value))
                    cell = f32(cell + f32(wy[by][row] * line))
                votes = f32(votes + cell)
            assert found[number, 0, 0, d] == f32(votes * f32(1 / 9))


def test_boxes_without_extent_give_zeros():
    operation, scores, _ = random_case(2, ratio=0)
    boxes = f32([[30, 30, 30, 50], [30, 30, 50, 30]])
    assert (ps_roi_align(operation, scores, boxes) == 0).all()


def test_no_boxes():
    operation, scores, _ = random_case(2)
    assert ps_roi_align(operation, scores, np.zeros((0, 4), f32)).shape == (0, 1, 1, OUTPUTS)


@pytest.mark.parametrize("ratio", [0, 2])
def test_boxes_that_are_none_give_zeros(ratio):
    operation, scores, _ = random_case(2, ratio=ratio)
    boxes = f32([[np.nan, 0, 9, 9], [0, 0, np.inf, 9], [20, 20, 10, 10], [0, 0, 3e38, 9]])
    with np.errstate(invalid="ignore", over="ignore"):
        assert (ps_roi_align(operation, scores, boxes) == 0).all()
