import numpy as np
import pytest
import torch
from mmdet.models.backbones.resnest import RSoftmax

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.softmax_of_parts import SoftmaxOfParts
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize(("groups", "parts"), [(1, 2), (3, 2), (2, 3)])
def test_mmdetection_finds_the_same(groups, parts):
    x = np.random.default_rng(0).normal(0, 3, (2, 1, 1, groups * parts * 5)).astype(np.float32)
    tensor = torch.from_numpy(x).permute(0, 3, 1, 2)
    expected = RSoftmax(parts, groups)(tensor).numpy().reshape(x.shape)
    example = Example(SoftmaxOfParts("x", "y", groups, parts), {"x": x})
    np.testing.assert_allclose(compute_alone(example), expected, atol=1e-6)
    quantized = Example(example.operation, example.values, {"y": Quantization(1 / 256)})
    found = compute_alone(quantized)
    assert np.abs(found - np.clip(expected * 256, 0, 255)).max() <= 0.5 + 1e-3


def test_channels_that_are_no_parts():
    example = Example(
        SoftmaxOfParts("x", "y", 2, 2),
        {"x": np.zeros((1, 1, 1, 6), np.float32)},
        {"y": Quantization(1.0)},
    )
    with pytest.raises(ArtifactError, match="6 channels are no 2 groups of 2 parts"):
        check_alone(example)
