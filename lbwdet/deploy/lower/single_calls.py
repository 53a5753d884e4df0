"""Modules that are a few calls while they are traced, although PyTorch makes more of them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torchvision  # noqa: F401  (has the operator of deformable convolutions)
from mmcv.cnn.bricks.generalized_attention import GeneralizedAttention
from mmcv.cnn.bricks.non_local import _NonLocalNd
from mmcv.ops import CARAFEPack, DeformConv2d
from mmcv.ops.deform_conv import DeformConv2dFunction
from mmcv.ops.modulated_deform_conv import ModulatedDeformConv2dFunction
from mmdet.models.backbones.pvt import AbsolutePositionEmbedding
from mmdet.models.backbones.swin import ShiftWindowMSA
from mmdet.models.layers import NormedConv2d, NormedLinear
from mmdet.models.necks.ssd_neck import L2Norm
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.utils import _pair

from lbwdet.deploy.lower.attention import (
    multihead_attention,
    non_local,
    salient_keys,
    shifted_windows,
)
from lbwdet.deploy.lower.mixing import Mixing, as_single_call
from lbwdet.deploy.lower.places import learned_places
from lbwdet.deploy.lower.reassembly import reassembled


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


def _deform_conv(
    context: Any,
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    deform_groups: int = 1,
    *_: Any,
) -> Tensor:
    """mmcv's, whose own fills a tensor of the size of the trace."""
    settings = (*_pair(stride), *_pair(padding), *_pair(dilation), groups, deform_groups, False)
    nothing = torch.zeros(len(input), 1), torch.zeros(len(weight))
    found: Tensor = torch.ops.torchvision.deform_conv2d(input, weight, offset, *nothing, *settings)
    return found


def _modulated_deform_conv(
    context: Any,
    input: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> Tensor:
    settings = (*_pair(stride), *_pair(padding), *_pair(dilation), groups, deform_groups, True)
    bias = torch.zeros(len(weight)) if bias is None else bias
    found: Tensor = torch.ops.torchvision.deform_conv2d(
        input, weight, offset, mask, bias, *settings
    )
    return found


def _without_padding(module: Any, x: Tensor, offset: Tensor) -> Tensor:
    """mmcv adds zeros to maps smaller than the kernel, between which there is nothing to read."""
    found: Tensor = DeformConv2dFunction.apply(
        x,
        offset,
        module.weight,
        module.stride,
        module.padding,
        module.dilation,
        module.groups,
        module.deform_groups,
    )
    return found


_SINGLE: tuple[tuple[type, Any], ...] = (
    (L2Norm, _l2_norm),
    (NormedLinear, _normed_linear),
    (NormedConv2d, _normed_conv),
    (Mixing, as_single_call),
    (nn.MultiheadAttention, multihead_attention),
    (_NonLocalNd, non_local),
    (GeneralizedAttention, salient_keys),
    (CARAFEPack, reassembled),
    (ShiftWindowMSA, shifted_windows),
    (AbsolutePositionEmbedding, learned_places),
    (DeformConv2d, _without_padding),
    (DeformConv2dFunction, staticmethod(_deform_conv)),
    (ModulatedDeformConv2dFunction, staticmethod(_modulated_deform_conv)),
)


_FORWARDS: dict[type, Any] = {kind: kind.__dict__["forward"] for kind, _ in _SINGLE}


@contextlib.contextmanager
def single_calls() -> Iterator[None]:
    """Inside the block the ``forward`` of each of these calls one operator."""
    for kind, forward in _SINGLE:
        kind.forward = forward  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for kind, forward in _FORWARDS.items():
            kind.forward = forward  # type: ignore[attr-defined]
