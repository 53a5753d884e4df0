"""What regions compute along their sides, beside PyTorch; whole heads: test_region_buckets.py."""

import pytest
import torch
from torch import nn

from lbwdet.deploy.lower.lines import line_mean, line_numbers, longer_line


@pytest.mark.parametrize("lines, axis", [("columns", 2), ("rows", 3)])
def test_means_of_lines(lines, axis):
    x, logits = torch.randn(2, 3, 5, 4), torch.randn(2, 1, 5, 4)
    shares = logits.sigmoid() / logits.sigmoid().sum(axis, keepdim=True)
    expected = (x * shares).sum(axis, keepdim=True)
    torch.testing.assert_close(line_mean(x, logits, lines), expected)


def test_twice_as_many_pixels_and_a_number_of_each():
    torch.manual_seed(0)
    upsample, linear = nn.ConvTranspose1d(4, 3, 2, stride=2), nn.Linear(3, 1)
    x = torch.randn(2, 4, 1, 5)
    with torch.no_grad():
        expected = linear(upsample(x[:, :, 0]).transpose(1, 2))[..., 0]
        longer = longer_line(x, upsample.weight, upsample.bias)
        found = line_numbers(longer, linear.weight, linear.bias)
    assert longer.shape == (2, 6, 1, 5)
    torch.testing.assert_close(found[:, :, 0].transpose(1, 2).flatten(1), expected)
