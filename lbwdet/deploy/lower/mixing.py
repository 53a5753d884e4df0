"""Sums of what a head predicts that are offsets of a deformable convolution: one call each."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Mixing(nn.Module):
    """Each channel a sum of channels of maps, as the operation ``Mix`` has it.

    Args:
        factors: of the inputs' channels, for each channel of the result.
        bias: of each; zeros, if none are given.
        exponential: numbers of the channels whose exponential is taken.
    """

    def __init__(
        self,
        factors: Sequence[Sequence[float]],
        bias: Sequence[float] = (),
        exponential: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.factors = [list(row) for row in factors]
        self.bias = list(bias) or [0.0] * len(self.factors)
        self.exponential = list(exponential)

    def forward(self, *maps: Tensor) -> Any:
        return _mixed(list(maps), self.factors, self.bias, self.exponential, ())


def _mixed(
    maps: list[Tensor],
    factors: list[list[float]],
    bias: list[float],
    exponential: list[int],
    limits: Sequence[float],
) -> Tensor:
    channels = torch.cat(maps, 1)
    if limits:
        ends = torch.tensor(limits)[:, None, None]
        channels = channels.clamp(-ends, ends)
    if exponential:
        powers = channels[:, exponential].exp()
        channels = channels.index_copy(1, torch.tensor(exponential), powers)
    weight = torch.tensor(factors)[:, :, None, None]
    return F.conv2d(channels, weight, torch.tensor(bias))


@torch.library.custom_op("lbwdet::mix", mutates_args=())
def mix(
    inputs: list[Tensor],
    factors: list[float],
    bias: list[float],
    exponential: list[int],
    limits: list[float],
) -> Tensor:
    """``factors``: row by row; ``limits``: of the inputs' channels, or none."""
    columns = len(factors) // len(bias)
    rows = [factors[start : start + columns] for start in range(0, len(factors), columns)]
    return _mixed(inputs, rows, bias, exponential, limits)


@mix.register_fake
def _(
    inputs: list[Tensor],
    factors: list[float],
    bias: list[float],
    exponential: list[int],
    limits: list[float],
) -> Tensor:
    n, _, height, width = inputs[0].shape
    return inputs[0].new_empty(n, len(bias), height, width)


def as_single_call(module: Mixing, *maps: Tensor) -> Any:
    """What ``Mixing`` does, as one operator."""
    factors = [factor for row in module.factors for factor in row]
    return mix(list(maps), factors, module.bias, module.exponential, [])
