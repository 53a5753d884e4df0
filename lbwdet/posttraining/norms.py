"""Batch norms and biases that fit what the low-bit layers in front of them give."""

import dataclasses

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm


@dataclasses.dataclass
class ChannelSums:
    """Of the values of each channel: number, sum and sum of squares, float64 [C]."""

    count: int
    first: Tensor
    second: Tensor

    def __add__(self, other: "ChannelSums") -> "ChannelSums":
        return ChannelSums(
            self.count + other.count, self.first + other.first, self.second + other.second
        )

    @property
    def mean(self) -> Tensor:
        return self.first / max(self.count, 1)

    @property
    def variance(self) -> Tensor:
        return (self.second / max(self.count, 1) - self.mean.square()).clamp(min=0)


def channel_sums(x: Tensor) -> ChannelSums:
    """Of [N, C, ...] or [N, C]."""
    values = x.detach().movedim(1, 0).flatten(1).double()
    return ChannelSums(values.shape[1], values.sum(1), values.square().sum(1))


@torch.no_grad()
def refit_norm(norm: _BatchNorm, of_float: ChannelSums, found: ChannelSums) -> None:
    """Sets the statistics so that the norm's output keeps its mean and variance.

    With mean ``m'`` and variance ``v'`` of the float network's inputs on the same images,
    and ``m`` and ``v`` of the low-bit one's, an input ``m + sqrt(v) u`` is treated as
    ``m' + sqrt(v') u`` was. Channels that do not vary keep their scale.
    """
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    varies = (of_float.variance > 0) & (found.variance > 0)
    ratio = torch.where(varies, of_float.variance / found.variance.clamp(min=1e-300), 1.0)
    old = variance.double() + norm.eps
    new = (old / ratio - norm.eps).clamp(min=0).to(variance.dtype)
    gain = (old / (new.double() + norm.eps)).sqrt()
    mean.copy_(found.mean - (of_float.mean - mean.double()) / gain)
    variance.copy_(new)
