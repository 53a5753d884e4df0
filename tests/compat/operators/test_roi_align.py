"""RoIAlign forward against plain loops, backward against numerical gradients."""

import itertools
import math

import pytest
import torch
from mmcv.ops import RoIAlign, roi_align

# Inside, across two borders, outside, thin, of the second image.
ROIS = [
    [0, 1.3, 2.1, 11.7, 9.4],
    [0, -6.0, -5.0, 5.5, 40.0],
    [1, 60.0, 60.0, 80.0, 80.0],
    [1, 3.0, 3.0, 3.4, 14.0],
]


def bilinear(plane, y, x):
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    return float(
        plane[top, left] * (top + 1 - y) * (left + 1 - x)
        + plane[top, right] * (top + 1 - y) * (x - left)
        + plane[bottom, left] * (y - top) * (left + 1 - x)
        + plane[bottom, right] * (y - top) * (x - left)
    )


def naive_roi_align(features, rois, size, scale, ratio, mode, aligned):
    output = features.new_zeros(len(rois), features.size(1), *size)
    for k, (image, *box) in enumerate(rois.tolist()):
        left, top, right, bottom = (v * scale - 0.5 * aligned for v in box)
        width, height = right - left, bottom - top
        if not aligned:
            width, height = max(width, 1.0), max(height, 1.0)
        bin_h, bin_w = height / size[0], width / size[1]
        samples_h = ratio or math.ceil(bin_h)
        samples_w = ratio or math.ceil(bin_w)
        for c, p, q in itertools.product(*map(range, output.shape[1:])):
            samples = [
                bilinear(
                    features[int(image), c],
                    top + bin_h * (p + (i + 0.5) / samples_h),
                    left + bin_w * (q + (j + 0.5) / samples_w),
                )
                for i in range(samples_h)
                for j in range(samples_w)
            ]
            if samples:
                output[k, c, p, q] = max(samples) if mode == "max" else sum(samples) / len(samples)
    return output


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
def test_forward_and_backward(mode, aligned, ratio):
    features = torch.randn(2, 2, 7, 9, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor(ROIS, dtype=torch.float64)
    arguments = ((3, 2), 0.5, ratio, mode, aligned)
    torch.testing.assert_close(
        roi_align(features, rois, *arguments),
        naive_roi_align(features.detach(), rois, *arguments),
    )
    assert torch.autograd.gradcheck(
        lambda x: roi_align(x, rois, *arguments), features, fast_mode=True
    )


@pytest.mark.parametrize("mode", ["avg", "max"])
def test_region_without_area_or_samples_is_zero(mode):
    features = torch.ones(1, 3, 5, 5, requires_grad=True)
    output = roi_align(features, torch.tensor([[0.0, 2, 2, 2, 4]]), 2, 1.0, 0, mode, True)
    output.sum().backward()
    assert not output.any()
    assert not features.grad.any()


def test_gradient_of_a_maximum_one_pixel_outside_reaches_the_border():
    """mmcv marks "no sample" with row -1, a row that may be sampled; here it is not lost."""
    features = torch.ones(1, 1, 4, 4, requires_grad=True)
    region = torch.tensor([[0.0, 0, -2, 2, 0]])  # one sample at (-1, 1)
    roi_align(features, region, 1, 1.0, 1, "max", False).sum().backward()
    assert features.grad[0, 0, 0, 1] == 1


@pytest.mark.parametrize("mode", ["avg", "max"])
def test_no_regions(mode):
    features = torch.randn(2, 3, 8, 8, requires_grad=True)
    output = roi_align(features, torch.zeros(0, 5), 7, 1.0, 2, mode, True)
    assert output.shape == (0, 3, 7, 7)
    output.sum().backward()
    assert not features.grad.any()


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_float32_rounded(mode, dtype):
    features = torch.randn(1, 4, 16, 16).to(dtype).requires_grad_()
    rois = torch.tensor([[0.0, 1, 2, 12, 14]], dtype=dtype)
    layer = RoIAlign(4, 1.0, 2, mode)
    output = layer(features, rois)
    exact = layer(features.detach().float(), rois.float())
    assert output.dtype == dtype
    assert torch.equal(output, exact.to(dtype))
    output.sum().backward()
    assert features.grad.dtype == dtype
    assert features.grad.sum().item() == pytest.approx(64, rel=0.05)


def test_autocast():
    features = torch.randn(1, 4, 16, 16)
    rois = torch.tensor([[0.0, 1, 2, 12, 14]])
    with torch.autocast("cpu", torch.bfloat16):
        inside = roi_align(features, rois, 4, 1.0, 2, "avg", True)
    assert torch.equal(inside, roi_align(features, rois, 4, 1.0, 2, "avg", True))
