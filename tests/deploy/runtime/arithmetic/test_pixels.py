import numpy as np
import torch
from mmdet.structures.mask import mask2bbox

from lbwdet.deploy.runtime.arithmetic.pixels import around, mean_probability


def test_boxes_are_those_of_mmdetection():
    random = np.random.default_rng(0)
    masks = [random.random((7, 9)) < share for share in (0.02, 0.05, 0.3, 0, 1)]
    expected = mask2bbox(torch.from_numpy(np.stack(masks))).numpy()
    assert [around(mask).tolist() for mask in masks] == expected.tolist()
    assert not around(masks[3]).any()


def test_the_mean_of_probabilities():
    logits = np.random.default_rng(0).normal(1, 2, 1000).astype(np.float32)
    expected = torch.from_numpy(logits).sigmoid().mean().item()
    assert abs(mean_probability(logits) - expected) < 1e-6
    assert mean_probability(logits) == mean_probability(logits[::-1].copy())  # in any order
    assert mean_probability(logits[:0]) == 0
