import numpy as np
import pytest
import torch
from mmdet.models.necks.ssd_neck import L2Norm as SSDNorm

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.l2_norm import L2Norm
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

WEIGHT = (20.0, 15.0, -3.0, 0.25)


def example(x, eps=1e-10):
    quantizations = {"x": Quantization(0.05, 3), "y": Quantization(0.2, 100)}
    return Example(L2Norm("x", "y", WEIGHT, eps), {"x": x}, quantizations)


@pytest.mark.parametrize("eps", [1e-10, 0.5])
def test_it_is_the_norm_of_mmdetection(eps):
    x = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 4)).astype(np.uint8)
    norm = SSDNorm(4, eps=eps)
    norm.weight.data = torch.tensor(WEIGHT)
    reals = torch.from_numpy(x).permute(0, 3, 1, 2).float().sub(3).mul(0.05)
    expected = norm(reals).permute(0, 2, 3, 1).detach().numpy() / 0.2 + 100
    found = compute_alone(example(x, eps))
    assert found.dtype == np.uint8
    # Half a step of rounding, and what float32 is off.
    assert np.abs(found - expected.clip(0, 255)).max() < 0.501


def test_a_pixel_without_length():
    found = compute_alone(example(np.full((1, 1, 2, 4), 3, np.uint8)))
    assert (found == 100).all()


def test_a_weight_for_every_channel():
    with pytest.raises(ArtifactError, match="4 weights for 3 channels"):
        check_alone(example(np.zeros((1, 2, 2, 3), np.uint8)))


@pytest.mark.parametrize(("eps", "scales"), [(1e-30, (1.0, 1.0)), (1e-10, (1.0, 2.0**-90))])
def test_numbers_that_float32_does_not_hold(eps, scales):
    quantizations = {name: Quantization(scale) for name, scale in zip("xy", scales, strict=True)}
    x = np.zeros((1, 2, 2, 4), np.uint8)
    with pytest.raises(ArtifactError, match="outputs could reach"):
        check_alone(Example(L2Norm("x", "y", WEIGHT, eps), {"x": x}, quantizations))
