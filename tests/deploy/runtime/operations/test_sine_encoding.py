import math

import numpy as np
import pytest
import torch
from mmdet.models import SinePositionalEncoding

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.sine_encoding import SineEncoding


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("offset", [0.0, -0.5])
def test_mmdetection_finds_the_same(normalize, offset):
    module = SinePositionalEncoding(6, normalize=normalize, offset=offset)
    expected = module(None, input=torch.zeros(2, 3, 25, 42)).permute(0, 2, 3, 1).numpy()
    scale = 2 * math.pi if normalize else 0.0
    operation = SineEncoding("x", "y", 6, scale=scale, offset=offset)
    found = compute_alone(Example(operation, {"x": np.zeros((2, 25, 42, 3), np.float32)}))
    np.testing.assert_allclose(found, expected, atol=2e-5)
