"""RoIPool forward against plain loops, backward against numerical gradients."""

import itertools
import math

import pytest
import torch
from mmcv.ops import RoIPool, roi_pool

# Inside, across the borders, outside, one pixel, turned inside out, of the second image.
ROIS = [
    [0, 1, 2, 11, 9],
    [0, -6, -5, 5.5, 40],
    [0, 60, 60, 80, 80],
    [1, 4, 4, 4, 4],
    [1, 9, 9, 3, 12],
    [1, 0, 0, 13, 17],
]


def naive_roi_pool(features, rois, size, scale):
    output = features.new_zeros(len(rois), features.size(1), *size)
    height, width = features.shape[2:]
    for k, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        left, top = x1 * scale, y1 * scale
        bin_w, bin_h = ((x2 + 1) * scale - left) / size[1], ((y2 + 1) * scale - top) / size[0]
        for c, p, q in itertools.product(*map(range, output.shape[1:])):
            pixels = [
                features[int(image), c, y, x].item()
                for y in range(math.floor(top + p * bin_h), math.ceil(top + (p + 1) * bin_h))
                for x in range(math.floor(left + q * bin_w), math.ceil(left + (q + 1) * bin_w))
                if 0 <= y < height and 0 <= x < width
            ]
            if pixels and bin_w > 0 and bin_h > 0:
                output[k, c, p, q] = max(pixels)
    return output


def test_forward_and_backward():
    features = torch.randn(2, 2, 9, 7, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor(ROIS, dtype=torch.float64)
    torch.testing.assert_close(
        roi_pool(features, rois, (3, 2), 0.5), naive_roi_pool(features.detach(), rois, (3, 2), 0.5)
    )
    assert torch.autograd.gradcheck(lambda x: roi_pool(x, rois, (3, 2), 0.5), features)


def test_region_without_pixels_has_no_gradient():
    features = torch.ones(1, 1, 5, 5, requires_grad=True)
    output = roi_pool(features, torch.tensor([[0.0, 4, 4, 1, 1], [0, 90, 90, 95, 95]]), 2, 1.0)
    output.sum().backward()
    assert not output.any()
    assert not features.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_no_regions(dtype):
    features = torch.randn(1, 3, 8, 8).to(dtype).requires_grad_()
    layer = RoIPool(2, 1.0)
    output = layer(features, torch.tensor([[0, 0, 0, 7, 7]], dtype=dtype))
    assert torch.equal(
        output[0], features[0].unflatten(2, (2, 4)).unflatten(1, (2, 4)).amax((2, 4))
    )
    output.sum().backward()
    assert features.grad.sum() == 12
    assert layer(features, torch.zeros(0, 5, dtype=dtype)).shape == (0, 3, 2, 2)
