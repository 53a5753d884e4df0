import torch
from mmdet.models.utils import aligned_bilinear
from torch.nn import functional as F

from lbwdet.deploy.lower.resizing import aligned, resized


def test_to_a_size(lowering):
    x = torch.randn(1, 3, 8, 10)
    assert torch.equal(resized(x, 5, 4), F.interpolate(x, size=(5, 4), mode="bilinear"))
    (operation,) = lowering.check(lambda n, x: resized(x, 5, 4), x).operations
    assert operation.size == (5, 4) and operation.like is None


def test_aligned(lowering):
    x = torch.randn(1, 3, 4, 5)
    assert torch.equal(aligned(x, 2), aligned_bilinear(x, 2))
    (operation,) = lowering.check(lambda n, x: aligned(x, 2), x).operations
    assert operation.aligned and operation.factor == (2, 2)
