"""Multi-scale deformable attention against plain loops and numerical gradients."""

import itertools
import math

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

SHAPES = torch.tensor([[3, 4], [2, 2]])
STARTS = torch.tensor([0, 12])


def operands(dtype=torch.float64):
    """Batch 2, 3 queries, 2 heads of width 2, 2 levels, 2 points; some points outside."""
    value = torch.randn(2, 16, 2, 2, dtype=dtype)
    locations = torch.rand(2, 3, 2, 2, 2, 2, dtype=dtype) * 1.5 - 0.25
    weights = torch.rand(2, 3, 2, 2, 2, dtype=dtype)
    return [t.requires_grad_() for t in (value, locations, weights)]


def attend(value, locations, weights):
    return MultiScaleDeformableAttnFunction.apply(value, SHAPES, STARTS, locations, weights, 64)


def naive(value, locations, weights):
    output = value.new_zeros(2, 3, 2, 2)
    for b, query, head, level, point in itertools.product(*map(range, weights.shape)):
        height, width = SHAPES[level].tolist()
        x, y = locations[b, query, head, level, point].tolist()
        x, y = x * width - 0.5, y * height - 0.5
        for row, column in itertools.product(
            (math.floor(y), math.floor(y) + 1), (math.floor(x), math.floor(x) + 1)
        ):
            if 0 <= row < height and 0 <= column < width:
                pixel = value[b, STARTS[level] + row * width + column, head]
                share = (1 - abs(y - row)) * (1 - abs(x - column))
                output[b, query, head] += weights[b, query, head, level, point] * share * pixel
    return output.flatten(2)


def test_forward_and_backward():
    inputs = operands()
    torch.testing.assert_close(attend(*inputs), naive(*(t.detach() for t in inputs)))
    assert torch.autograd.gradcheck(attend, inputs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    inputs = [t.detach().to(dtype).requires_grad_() for t in operands()]
    output = attend(*inputs)
    assert torch.equal(output, attend(*(t.detach().float() for t in inputs)).to(dtype))
    output.sum().backward()
    assert all(t.grad.dtype == dtype and t.grad.any() for t in inputs)
