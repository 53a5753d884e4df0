import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.adaptive_max_pool import AdaptiveMaxPool
from lbwdet.deploy.runtime.quantization import Quantization


@pytest.mark.parametrize("sides", [(3, 2), (4, 5), (9, 13), (1, 20)])
def test_pytorch_finds_the_same(sides):
    x = np.random.default_rng(0).integers(0, 256, (2, 9, 13, 3)).astype(np.uint8)
    values = {"x": x, "like": np.zeros((2, *sides, 1), np.uint8)}
    found = compute_alone(
        Example(
            AdaptiveMaxPool("x", "y", "like"),
            values,
            dict.fromkeys(("x", "like", "y"), Quantization(1.0)),
        )
    )
    expected = F.adaptive_max_pool2d(torch.from_numpy(x).permute(0, 3, 1, 2).float(), sides)
    assert (found == expected.permute(0, 2, 3, 1).numpy()).all()
