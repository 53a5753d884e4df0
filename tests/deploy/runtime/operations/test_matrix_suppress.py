import dataclasses

import numpy as np
import pytest
import torch
from mmdet.models.layers import mask_matrix_nms

from lbwdet.deploy.runtime.alone import check_alone, compute_alone, run_alone
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.matrix_suppress import MatrixSuppress
from lbwdet.errors import ArtifactError


def example(count=40, **settings):
    made = MatrixSuppress.example(np.random.default_rng(1))
    random = np.random.default_rng(0)
    rows = np.zeros((count, 7), np.float32)
    rows[:, 4] = random.permutation(np.linspace(0.2, 0.9, count))
    rows[:, 5] = random.integers(0, 3, count)
    rows[:, 6] = random.integers(0, 9, count)
    y, x = np.mgrid[0:16, 0:16]
    places = random.uniform(2, 14, (count, 3))
    far = np.hypot(y - places[:, :1, None], x - places[:, 1:2, None])
    masks = (1 / (1 + np.exp(far - places[:, 2:, None] / 2))).astype(np.float32)[..., None]
    given = dict(
        least_areas=(12.0, 30.0),
        mask_threshold=0.5,
        sigma=2.0,
        max_masks=30,
        score_threshold=0.1,
        max_boxes=15,
    )
    operation = dataclasses.replace(made.operation, **{**given, **settings})
    return Example(operation, {"x": rows, "masks": masks})


@pytest.mark.parametrize("limits", [{}, dict(max_masks=500, score_threshold=0.3, max_boxes=100)])
def test_mmdetection_finds_the_same(limits):
    made = example(**limits)
    operation, rows = made.operation, torch.from_numpy(made.values["x"])
    probabilities = torch.from_numpy(made.values["masks"][..., 0])
    masks = probabilities > 0.5
    area = masks.sum((1, 2)).float()
    keep = area > torch.where(rows[:, 6] < 4, 12.0, 30.0)
    assert 5 < keep.sum() < len(rows)
    rows, masks, area = rows[keep], masks[keep], area[keep]
    scores = rows[:, 4] * (probabilities[keep] * masks).sum((1, 2)) / area
    scores, labels, _, index = mask_matrix_nms(
        masks,
        rows[:, 5],
        scores,
        filter_thr=operation.score_threshold,
        nms_pre=operation.max_masks,
        max_num=operation.max_boxes,
        sigma=2.0,
        mask_area=area,
    )
    found = compute_alone(made)
    assert len(found) > 5
    np.testing.assert_allclose(found[:, 4], scores.numpy(), rtol=1e-5)
    assert found[:, 5].tolist() == labels.tolist()
    assert found[:, 6].tolist() == rows[index, 6].tolist()


def test_one_mask_twice_is_one():
    made = example(2, least_areas=(0.0, 0.0), score_threshold=-1.0)
    made.values["masks"][1] = made.values["masks"][0]
    made.values["x"][:, 5] = 1
    best, worse = compute_alone(made)
    assert best[4] > 0 and worse[4] < 0.15 * made.values["x"][:, 4].min()
    made.values["x"][0, 5] = 0  # of another class
    assert (compute_alone(made)[:, 4] > 0.1).all()


def test_as_many_masks_as_candidates():
    made = example(4)
    values = {**made.values, "masks": made.values["masks"][:3]}
    with pytest.raises(ArtifactError, match="'masks' has not one mask for each of 'x'"):
        check_alone(dataclasses.replace(made, values=values))


@pytest.mark.skipif(library_path() is None, reason="the native engine is not built")
def test_more_pixels_than_a_float32_counts():
    masks = np.zeros((1, 4097, 4096, 1), np.float32)
    masks.reshape(-1)[: (1 << 24) + 1] = 1
    made = example(1, least_areas=(2.0**24, 2.0**24))
    made = dataclasses.replace(made, values={**made.values, "masks": masks})
    assert len(run_alone(made)) == 1
