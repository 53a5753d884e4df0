import numpy as np
import torch
from mmdet.models.utils import generate_coordinate

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.coordinates import Coordinates


def test_mmdetection_finds_the_same():
    for height, width in ((5, 8), (1, 3), (7, 1)):
        found = compute_alone(
            Example(Coordinates("x", "y"), {"x": np.zeros((2, height, width, 3), np.float32)})
        )
        expected = generate_coordinate((2, 3, height, width), torch.device("cpu"))
        np.testing.assert_allclose(found, expected.permute(0, 2, 3, 1).numpy(), atol=1e-6)
