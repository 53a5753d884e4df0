import pytest
import torch
from torch import nn

from lbwdet.deploy.lower.lines import line_mean, line_numbers, longer_line


@pytest.mark.parametrize("lines", ["columns", "rows"])
def test_means_of_lines(lowering, lines):
    net = nn.Conv2d(3, 1, 1)
    part = lowering.check(lambda n, x: line_mean(x, n(x), lines), net=net)
    mean = next(op for op in part.operations if type(op).__name__ == "LineMean")
    assert mean.lines == lines and mean.input == "input"


def test_one_layer_for_all_pixels_of_a_longer_line(lowering):
    net = nn.ModuleList([nn.ConvTranspose1d(3, 4, 2, stride=2), nn.Linear(4, 1)])

    def compute(net, x):
        longer = longer_line(x, net[0].weight, net[0].bias)
        return line_numbers(longer, net[1].weight, net[1].bias)

    first, second = lowering.check(compute, torch.randn(2, 3, 1, 7), net=net).operations
    assert (first.kernel, first.groups, second.groups) == ((1, 1), 1, 2)
