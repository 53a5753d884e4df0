import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.space_to_depth import SpaceToDepth
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

CODES = dict.fromkeys("xy", Quantization(1.0))


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_pytorch_unfolds_the_same(factor):
    x = np.random.default_rng(0).integers(0, 256, (2, 6, 7, 3)).astype(np.uint8)
    found = compute_alone(Example(SpaceToDepth("x", "y", factor), {"x": x}, CODES))
    planes = torch.from_numpy(x).permute(0, 3, 1, 2).float()
    expected = F.unfold(planes, factor, stride=factor).permute(0, 2, 1)
    assert found.shape == (2, 6 // factor, 7 // factor, 3 * factor**2)
    assert (found.reshape(expected.shape) == expected.numpy()).all()


def test_a_map_without_a_block():
    x = np.zeros((1, 2, 9, 3), np.uint8)
    with pytest.raises(ArtifactError, match="the window is larger than the map"):
        check_alone(Example(SpaceToDepth("x", "y", 3), {"x": x}, CODES))
