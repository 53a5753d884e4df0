import numpy as np
import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.learned_boxes import LearnedBoxes


def test_they_are_those_of_mmdetection():
    places = np.random.default_rng(0).uniform(-0.3, 1.3, (20, 4)).astype(np.float32)
    given = Example(LearnedBoxes("y", tuple(map(tuple, places.tolist()))), {}, resized=(60, 90))
    expected = bbox_cxcywh_to_xyxy(torch.from_numpy(places)) * torch.tensor([90, 60, 90, 60])
    np.testing.assert_allclose(compute_alone(given), expected.numpy(), rtol=1e-5, atol=1e-4)


def test_every_image_has_as_many():
    given = Example(LearnedBoxes("y", ((0.5, 0.5, 1.0, 1.0),) * 7), {}, resized=(60, 90))
    assert check_alone(given).count == 7
    assert compute_alone(given).tolist() == [[0, 0, 90, 60]] * 7
