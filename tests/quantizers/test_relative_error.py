import math

import pytest
import torch

from lbwdet.quantizers import relative_error

WEIGHT = torch.tensor([[1.0, 2.0], [0.5, -1.5]])


def test_share_of_the_squares():
    quantized = torch.tensor([[1.0, 2.0], [0.5, -1.0]])
    assert relative_error(WEIGHT, quantized) == 0.25 / 7.5
    assert relative_error(WEIGHT, WEIGHT) == 0
    assert relative_error(WEIGHT, torch.zeros(2, 2)) == 1


def test_zeros():
    zeros = torch.zeros(3)
    assert relative_error(zeros, zeros) == 0
    assert relative_error(zeros, torch.ones(3)) == math.inf


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_scale_does_not_matter(scale):
    """Squares of 1e-30 or 1e30 would be 0 or infinite in float32."""
    weight = torch.tensor([1.0, 2.0]) * scale
    assert relative_error(weight, weight * 0.5) == pytest.approx(0.25)


def test_no_gradient_is_kept():
    weight = torch.ones(2, requires_grad=True)
    assert relative_error(weight, weight * 2) == 1
