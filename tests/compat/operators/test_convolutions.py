"""Deformable and masked convolutions against plain loops and numerical gradients."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import (
    DeformConv2d,
    DeformConv2dPack,
    MaskedConv2d,
    ModulatedDeformConv2dPack,
    deform_conv2d,
    modulated_deform_conv2d,
)

# stride, padding, dilation, groups, deform_groups
GEOMETRIES = [
    (1, 1, 1, 1, 1),
    ((2, 1), (0, 2), (1, 2), 2, 1),
    (1, 1, 1, 2, 2),
    ((1, 2), 1, 1, 1, 4),
]


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def sample(plane, y, x):
    """Bilinear, zero outside."""
    total = plane.new_zeros(())
    for row, column in itertools.product(
        (math.floor(y), math.floor(y) + 1), (math.floor(x), math.floor(x) + 1)
    ):
        if 0 <= row < plane.size(0) and 0 <= column < plane.size(1):
            total += plane[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def naive(x, offset, mask, weight, geometry):
    stride, padding, dilation = map(pair, geometry[:3])
    groups, deform_groups = geometry[3:]
    output = x.new_zeros(len(x), len(weight), *offset.shape[2:])
    per_group, kernel_h, kernel_w = weight.shape[1:]
    offset = offset.unflatten(1, (deform_groups, kernel_h, kernel_w, 2))
    mask = mask.unflatten(1, (deform_groups, kernel_h, kernel_w))
    for n, o, p, q in itertools.product(*map(range, output.shape)):
        for c, i, j in itertools.product(*map(range, weight.shape[1:])):
            channel = o // (len(weight) // groups) * per_group + c
            g = channel // (x.size(1) // deform_groups)
            dy, dx = offset[n, g, i, j, :, p, q].tolist()
            y = p * stride[0] - padding[0] + i * dilation[0] + dy
            z = q * stride[1] - padding[1] + j * dilation[1] + dx
            value = sample(x[n, channel], y, z) * mask[n, g, i, j, p, q]
            output[n, o, p, q] += weight[o, c, i, j] * value
    return output


def operands(geometry, dtype=torch.float64):
    """Input, offset, mask, weight and bias with a 3 x 2 kernel on a 5 x 4 image."""
    x = torch.randn(2, 4, 5, 4, dtype=dtype)
    weight = torch.randn(4, 4 // geometry[3], 3, 2, dtype=dtype)
    out = F.conv2d(x, weight, None, *geometry[:4]).shape[2:]
    offset = torch.randn(2, geometry[4] * 12, *out, dtype=dtype)
    mask = torch.rand(2, geometry[4] * 6, *out, dtype=dtype)
    return [t.requires_grad_() for t in (x, offset, mask, weight, torch.randn(4, dtype=dtype))]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_deform_conv(geometry):
    x, offset, mask, weight, _ = operands(geometry)
    output = deform_conv2d(x, offset, weight, *geometry)
    with torch.no_grad():
        torch.testing.assert_close(
            output, naive(x, offset, torch.ones_like(mask), weight, geometry)
        )
    assert torch.autograd.gradcheck(
        lambda *t: deform_conv2d(*t, *geometry), (x, offset, weight), fast_mode=True
    )


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_modulated_deform_conv(geometry, with_bias):
    x, offset, mask, weight, bias = operands(geometry)
    inputs = (x, offset, mask, weight, bias if with_bias else None)
    output = modulated_deform_conv2d(*inputs, *geometry)
    with torch.no_grad():
        expected = naive(x, offset, mask, weight, geometry)
        if with_bias:
            expected += bias[:, None, None]
        torch.testing.assert_close(output, expected)
    assert torch.autograd.gradcheck(
        lambda *t: modulated_deform_conv2d(*t, *geometry), inputs, fast_mode=True
    )


def test_offset_and_mask_larger_than_the_output():
    """As DyHead passes them: mmcv's kernels read the first values of each image."""
    x, offset, mask, weight, bias = operands(GEOMETRIES[0])
    height, width = offset.shape[2:]
    large = [F.pad(t.detach().flatten(1), (0, 3 * t[0].numel()), value=9.0) for t in (offset, mask)]
    large = [t.view(2, -1, 2 * height, 2 * width).requires_grad_() for t in large]
    expected = modulated_deform_conv2d(x, offset, mask, weight, bias, *GEOMETRIES[0])
    output = modulated_deform_conv2d(x, *large, weight, bias, *GEOMETRIES[0])
    assert torch.equal(output, expected)
    upstream = torch.randn_like(output)
    exact = torch.autograd.grad(expected, (offset, mask), upstream)
    for gradient, part in zip(torch.autograd.grad(output, large, upstream), exact, strict=True):
        read, unread = gradient.flatten(1).split([part[0].numel(), 3 * part[0].numel()], dim=1)
        assert torch.equal(read, part.flatten(1))
        assert not unread.any()


@pytest.mark.parametrize("module", [DeformConv2dPack, ModulatedDeformConv2dPack])
def test_fresh_modules_are_plain_convolutions(module):
    """Their offsets start at zero and the mask at one half."""
    layer = module(4, 6, 3, padding=1, bias=False)
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    factor = 0.5 if module is ModulatedDeformConv2dPack else 1
    output = layer(x)
    torch.testing.assert_close(output, factor * F.conv2d(x, layer.weight, padding=1))
    output.sum().backward()
    assert x.grad.any()
    assert all(p.grad is not None for p in layer.parameters())


def test_image_smaller_than_the_kernel():
    layer = DeformConv2d(1, 1, 3, padding=1)
    x = torch.randn(1, 1, 2, 2)
    output = layer(x, torch.zeros(1, 18, 2, 2))
    torch.testing.assert_close(output, F.conv2d(x, layer.weight, padding=1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    geometry = GEOMETRIES[2]
    halves = [t.detach().to(dtype).requires_grad_() for t in operands(geometry)]
    output = modulated_deform_conv2d(*halves, *geometry)
    exact = modulated_deform_conv2d(*(t.detach().float() for t in halves), *geometry)
    assert torch.equal(output, exact.to(dtype))
    output.sum().backward()
    assert all(t.grad.dtype == dtype and t.grad.isfinite().all() for t in halves)


def test_batch_in_steps():
    x, offset, _, weight, _ = operands(GEOMETRIES[0])
    once = deform_conv2d(x, offset, weight, *GEOMETRIES[0], False, 2)
    assert torch.equal(once, deform_conv2d(x, offset, weight, *GEOMETRIES[0], False, 1))


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), ((1, 5), (0, 2))])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_masked_conv(kernel, padding, share):
    layer = MaskedConv2d(3, 5, kernel, padding=padding).double()
    x = torch.randn(1, 3, 6, 7, dtype=torch.float64)
    mask = torch.rand(1, 6, 7) < share
    with torch.no_grad():
        torch.testing.assert_close(layer(x, mask), layer(x) * mask)
