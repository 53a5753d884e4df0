import pytest
import torch

from lbwdet.quantizers.channel_steps import best_steps, zero_points

GENERATOR = torch.Generator().manual_seed(0)
RANGES = torch.tensor([2.0, 5.0, 12.0, 40.0])


def silu_like(positions: int = 4000) -> torch.Tensor:
    return torch.nn.functional.silu(torch.randn(positions, 4, generator=GENERATOR) * RANGES)


def error(values: torch.Tensor, steps: torch.Tensor, zero_point: int, top: int) -> torch.Tensor:
    codes = (torch.round(values / steps) + zero_point).clamp(0, top)
    return ((codes - zero_point) * steps - values).square().sum(0)


@pytest.mark.parametrize("bit_width", [4, 8])
def test_no_other_power_of_two_is_better(bit_width):
    values = silu_like()
    exponents, zero_point = best_steps(values, bit_width)
    top = 2**bit_width - 1
    assert exponents.dtype == torch.int8 and zero_point in zero_points(bit_width)
    least = error(values, 2.0 ** exponents.float(), zero_point, top)
    for change in range(-6, 4):
        other = error(values, 2.0 ** (exponents.float() + change), zero_point, top)
        assert (other >= least).all()


def test_channels_keep_what_one_step_loses():
    values = silu_like() * torch.tensor([0.01, 0.1, 1.0, 1.0])
    exponents, zero_point = best_steps(values, 8)
    own = error(values, 2.0 ** exponents.float(), zero_point, 255) / values.square().sum(0)
    one = error(values, values.max() / (255 - zero_point), zero_point, 255) / values.square().sum(0)
    assert own.max() < 1e-3 < one.max()


def test_the_zero_point_is_that_of_the_values():
    assert best_steps(silu_like(), 8)[1] == 32
    assert best_steps(silu_like(), 8, symmetric=True)[1] == 128
    assert best_steps(torch.randn(1000, 3, generator=GENERATOR), 8)[1] == 128
    for symmetric in (True, False):
        assert best_steps(torch.rand(1000, 3, generator=GENERATOR), 8, symmetric)[1] == 0


def test_a_channel_has_the_same_step_beside_any_others():
    values = silu_like()
    whole, zero_point = best_steps(values, 8)
    part, same = best_steps(values[:, 1:3], 8)
    assert zero_point == same and torch.equal(whole[1:3], part)


def test_channels_of_zeros():
    exponents, zero_point = best_steps(torch.zeros(10, 2), 8)
    assert zero_point == 0 and torch.isfinite(2.0 ** exponents.float()).all()
