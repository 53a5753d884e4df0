import numpy as np
import pytest
import torch
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

from lbwdet.deploy.runtime.arithmetic.paste import paste, runs_of

SIZE = (60, 90)


def pixels(mask, box, threshold=0.5):
    window, (top, left) = paste(np.float32(mask), np.float32(box), threshold, SIZE)
    whole = np.zeros(SIZE, bool)
    whole[top : top + window.shape[0], left : left + window.shape[1]] = window
    return whole


@pytest.mark.parametrize("seed", range(20))
def test_equals_mmdetection(seed):
    random = np.random.default_rng(seed)
    mask = random.uniform(0, 1, random.integers(1, 15, 2)).astype(np.float32)
    # Of boxes outside of the image MMDetection's own function raises.
    corners = np.sort(random.uniform(-0.3, 1.3, (2, 2)).clip(0, 1) * SIZE[::-1], 0)
    box = corners.reshape(4).astype(np.float32)
    values, window = _do_paste_mask(
        torch.from_numpy(mask)[None, None], torch.from_numpy(box)[None], *SIZE
    )
    expected, sure = np.zeros(SIZE, bool), np.ones(SIZE, bool)
    expected[window] = values[0] >= 0.5
    sure[window] = (values[0] - 0.5).abs() > 1e-4  # elsewhere the last bit decides
    found = pixels(mask, box)
    assert (found == expected)[sure].all() and sure.mean() > 0.99


def test_a_mask_as_large_as_its_box_is_copied():
    mask = np.eye(5)
    found = pixels(mask, (10, 20, 15, 25))
    assert (found[20:25, 10:15] == mask.astype(bool)).all() and found.sum() == 5


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 5), (9, 9, 3, 3), (np.nan,) * 4, (-1e30, -1e30, 1e30, 1e30), (200, 9, 300, 9)]
)
def test_any_box_has_some_pixels_or_none(box):
    found = pixels(np.ones((3, 4)), box)
    assert found.shape == SIZE
    assert found.any() == (box[0] in (5, -1e30))


def test_the_threshold_itself_counts():
    assert pixels(np.full((2, 2), 0.5), (10, 10, 20, 20)).sum() > 0
    assert not pixels(np.full((2, 2), np.nextafter(np.float32(0.5), 0)), (10, 10, 20, 20)).any()


def test_runs_go_down_the_columns():
    window = np.array([[True, False], [True, True]])
    assert runs_of(window, (1, 1), (3, 4)).tolist() == [4, 2, 2, 1, 3]
    assert runs_of(window[:0], (0, 0), (3, 4)).tolist() == [12]
    assert runs_of(np.ones((3, 4), bool), (0, 0), (3, 4)).tolist() == [0, 12]
