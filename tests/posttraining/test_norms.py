import torch
from torch import nn

from lbwdet.posttraining.norms import channel_sums, refit_norm


def norm_of(channels):
    norm = nn.BatchNorm2d(channels).eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    norm.weight.data.normal_()
    return norm


def test_sums_over_parts():
    x = torch.randn(5, 3, 4, 4)
    parts = channel_sums(x[:2]) + channel_sums(x[2:])
    assert torch.allclose(parts.mean, x.double().mean((0, 2, 3)))
    assert torch.allclose(parts.variance, x.double().var((0, 2, 3), correction=0))


@torch.no_grad()
def test_a_factor_and_a_shift_of_each_channel_are_made_up_for():
    norm, x = norm_of(4), torch.randn(8, 4, 5, 5)
    before = norm(x)
    factor, shift = torch.tensor([0.01, 1.0, 7.0, 300.0]), torch.tensor([0.0, -2.0, 5.0, 1.0])
    other = x * factor[:, None, None] + shift[:, None, None]
    refit_norm(norm, channel_sums(x), channel_sums(other))
    assert torch.allclose(norm(other), before, atol=1e-2)


@torch.no_grad()
def test_a_constant_channel_keeps_its_scale():
    norm, x = norm_of(2), torch.randn(8, 2, 5, 5)
    x[:, 1] = 3
    variance = norm.running_var.clone()
    before = norm(x)
    refit_norm(norm, channel_sums(x), channel_sums(torch.zeros_like(x)))
    assert torch.allclose(norm.running_var, variance)
    assert torch.allclose(norm(torch.zeros_like(x))[:, 1], before[:, 1], atol=1e-5)
