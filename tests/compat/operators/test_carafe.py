"""CARAFE against plain loops and numerical gradients."""

import itertools

import pytest
import torch
from mmcv.ops import CARAFEPack, carafe, carafe_naive

from lbwdet.compat.operators.carafe import carafe_naive_backward


def naive(features, masks, kernel, groups, scale):
    n, channels, height, width = features.shape
    output = features.new_zeros(n, channels, height * scale, width * scale)
    masks = masks.unflatten(1, (groups, kernel, kernel))
    for b, c, y, x in itertools.product(*map(range, output.shape)):
        for i, j in itertools.product(range(kernel), repeat=2):
            row, column = y // scale + i - kernel // 2, x // scale + j - kernel // 2
            if 0 <= row < height and 0 <= column < width:
                group = c // (channels // groups)
                output[b, c, y, x] += features[b, c, row, column] * masks[b, group, i, j, y, x]
    return output


def operands(kernel, groups, scale, dtype=torch.float64):
    features = torch.randn(2, 4, 3, 2, dtype=dtype, requires_grad=True)
    masks = torch.rand(2, groups * kernel**2, 3 * scale, 2 * scale, dtype=dtype)
    return features, masks.requires_grad_()


@pytest.mark.parametrize("sizes", [(3, 1, 2), (5, 2, 2), (1, 4, 1), (3, 2, 3)])
def test_forward_and_backward(sizes):
    features, masks = operands(*sizes)
    expected = naive(features.detach(), masks.detach(), *sizes)
    torch.testing.assert_close(carafe(features, masks, *sizes), expected)
    torch.testing.assert_close(carafe_naive(features, masks, *sizes), expected)
    assert torch.autograd.gradcheck(
        lambda *t: carafe(*t, *sizes), (features, masks), fast_mode=True
    )


def test_naive_backward():
    """mmcv lets only CUDA tensors through, hence the direct call."""
    features, masks = operands(3, 2, 2)
    output = carafe(features, masks, 3, 2, 2)
    upstream = torch.randn_like(output)
    expected = torch.autograd.grad(output, (features, masks), upstream)
    filled = (torch.zeros_like(features), torch.zeros_like(masks))
    carafe_naive_backward(
        upstream, features, masks, *filled, kernel_size=3, group_size=2, scale_factor=2
    )
    torch.testing.assert_close(filled, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_module_averages(dtype):
    """Its kernels are positive and sum to one, so a constant stays constant inside."""
    layer = CARAFEPack(4, 2).to(dtype)
    output = layer(torch.ones(1, 4, 8, 8, dtype=dtype))
    assert output.shape == (1, 4, 16, 16)
    torch.testing.assert_close(output[..., 6:10, 6:10], torch.ones(1, 4, 4, 4, dtype=dtype))
    output.sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
