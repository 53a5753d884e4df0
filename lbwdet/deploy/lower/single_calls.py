"""Modules that are a few calls while they are traced, although PyTorch makes more of them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from mmdet.models.layers import NormedConv2d, NormedLinear
from mmdet.models.necks.ssd_neck import L2Norm
from torch import Tensor
from torch.nn import functional as F


@torch.library.custom_op("lbwdet::l2_norm", mutates_args=())
def l2_norm(input: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``weight[c] * x_c / (sqrt(sum of x_c**2) + eps)``, over the channels of each pixel."""
    length = input.pow(2).sum(1, keepdim=True).sqrt() + eps
    return _per_channel(weight, input) * input / length


@l2_norm.register_fake
def _(input: Tensor, weight: Tensor, eps: float) -> Tensor:
    return torch.empty_like(input)


@torch.library.custom_op("lbwdet::over_lengths", mutates_args=())
def over_lengths(input: Tensor, weight: Tensor, eps: float) -> Tensor:
    """What a layer makes without a bias, each channel divided by its weight's length + eps."""
    return input / _per_channel(weight.flatten(1).norm(dim=1) + eps, input)


@over_lengths.register_fake
def _(input: Tensor, weight: Tensor, eps: float) -> Tensor:
    return torch.empty_like(input)


def _per_channel(numbers: Tensor, input: Tensor) -> Tensor:
    return numbers.reshape(-1, *[1] * (input.dim() - 2))


def _l2_norm(module: Any, input: Tensor) -> Any:
    return l2_norm(input, module.weight, module.eps)


def _normed_linear(module: Any, input: Tensor) -> Any:
    """Of vectors of length 1: the weight's length is a factor of each channel of the result."""
    if module.power != 1:
        return _FORWARDS[NormedLinear](module, input)
    product = F.linear(_unit(module, input), module.weight)
    return _with_bias(module, product)


def _normed_conv(module: Any, input: Tensor) -> Any:
    plain = module.kernel_size == (1, 1) and module.padding_mode == "zeros"
    if module.power != 1 or not plain or module.groups != 1:
        return _FORWARDS[NormedConv2d](module, input)
    settings = (module.stride, module.padding, module.dilation)
    product = F.conv2d(_unit(module, input), module.weight, None, *settings)
    return _with_bias(module, product)


def _unit(module: Any, input: Tensor) -> Any:
    temperature = torch.full((input.shape[1],), float(module.tempearture))
    return l2_norm(input, temperature, module.eps)


def _with_bias(module: Any, product: Tensor) -> Any:
    found = over_lengths(product, module.weight, module.eps)
    return found if module.bias is None else found + _per_channel(module.bias, found)


_OURS = {L2Norm: _l2_norm, NormedLinear: _normed_linear, NormedConv2d: _normed_conv}
_FORWARDS = {kind: kind.forward for kind in _OURS}


@contextlib.contextmanager
def single_calls() -> Iterator[None]:
    """Inside the block these modules call the operators of this file."""
    for kind, forward in _OURS.items():
        kind.forward = forward
    try:
        yield
    finally:
        for kind, forward in _FORWARDS.items():
            kind.forward = forward
