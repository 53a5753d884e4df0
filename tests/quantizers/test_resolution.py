import math

import pytest
import torch

from lbwdet.quantizers import best_relu_alpha, best_uniform_alpha, quantized_relu, uniform_quantize


def error(values, out):
    return (out - values).double().square().mean().item()


@pytest.mark.parametrize("bit_width", range(1, 9))
@pytest.mark.parametrize("power", [1, 3])
def test_no_resolution_is_better_for_the_quantized_relu(bit_width, power):
    values = torch.randn(2000).abs() ** power

    def at(alpha):
        return error(values, quantized_relu(values, torch.tensor(float(alpha)), bit_width))

    best = best_relu_alpha(values, bit_width)
    everywhere = torch.logspace(-12, 1, 600, base=2) * values.max() / (2**bit_width - 1)
    assert at(best) <= 1.01 * min(at(alpha) for alpha in everywhere)


def test_one_bit_is_the_mean():
    # For a single level above zero, the least squares solution is the mean.
    values = torch.randn(20_000).abs()
    assert best_relu_alpha(values, 1) == pytest.approx(math.sqrt(2 / math.pi), rel=0.02)
    assert best_relu_alpha(torch.cat([values, -values]), 1) == best_relu_alpha(
        torch.cat([values, torch.zeros(20_000)]), 1
    )


@pytest.mark.parametrize("bit_width", range(2, 9))
@pytest.mark.parametrize("symmetric", [True, False])
def test_no_resolution_is_better_for_uniform_levels(bit_width, symmetric):
    values = torch.randn(2000) + 0.5

    def at(alpha):
        alpha = torch.tensor(float(alpha))
        return error(values, uniform_quantize(values, alpha, zero_point, bit_width))

    best, zero_point = best_uniform_alpha(values, bit_width, symmetric)
    everywhere = torch.logspace(-12, 1, 600, base=2)
    assert at(best) <= 1.01 * min(at(alpha) for alpha in everywhere)
    if symmetric:
        assert zero_point == 2 ** (bit_width - 1)
    else:
        low, high = values.min().item(), values.max().item()
        share = -low / (high - low) * (2**bit_width - 1)
        assert abs(zero_point - share) <= 0.5


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("values", [[0.0], [-3.0], [-1e-30, 5.0], [-5.0, 1e-30]])
def test_degenerate_data(values, symmetric):
    alpha, zero_point = best_uniform_alpha(torch.tensor(values), 8, symmetric)
    assert alpha > 0 and 1 <= zero_point <= 255
    out = uniform_quantize(torch.tensor(values), torch.tensor(alpha), zero_point, 8)
    torch.testing.assert_close(out, torch.tensor(values), rtol=0, atol=0.03)
    assert best_relu_alpha(torch.tensor(values), 8) > 0
