"""CARAFE: upsampling in which each output pixel has a kernel of its own."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lbwdet.compat.operators.numerics import gradients, widen


def carafe_naive_forward(
    features: Tensor,
    masks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fills ``output`` with the sums of each pixel's neighbours, weighted by ``masks``.

    Args:
        features: [N, C, H, W].
        masks: [N, group_size * kernel_size², H * scale_factor, W * scale_factor].
        output: [N, C, H * scale_factor, W * scale_factor].
        kernel_size: odd side of the neighbourhood.
        group_size: number of channel groups with kernels of their own.
        scale_factor: enlargement.
    """
    output.copy_(_carafe(widen(features), widen(masks), kernel_size, group_size, scale_factor))


def carafe_naive_backward(
    grad_output: Tensor,
    features: Tensor,
    masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fills ``grad_input`` and ``grad_masks``, shaped like features and masks."""
    by_features, by_masks = gradients(
        lambda f, m: _carafe(f, m, kernel_size, group_size, scale_factor),
        (features, masks),
        grad_output,
    )
    grad_input.copy_(by_features)
    grad_masks.copy_(by_masks)


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    **sizes: Any,
) -> None:
    """As :func:`carafe_naive_forward`, and leaves ``rfeatures`` for the backward pass."""
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, **sizes)


def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,
    rgrad_input_hs: Tensor,
    rgrad_input: Tensor,
    rgrad_masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    **sizes: Any,
) -> None:
    """As :func:`carafe_naive_backward`, from what :func:`carafe_forward` left."""
    carafe_naive_backward(grad_output, rfeatures, masks, grad_input, grad_masks, **sizes)


def _carafe(features: Tensor, masks: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    n, c, h, w = features.shape
    taps = kernel_size**2
    neighbours = F.unfold(features, kernel_size, padding=kernel_size // 2)
    return torch.einsum(
        "ngcthw,ngthywx->ngchywx",
        neighbours.view(n, groups, c // groups, taps, h, w),
        masks.reshape(n, groups, taps, h, scale, w, scale),
    ).reshape(n, c, h * scale, w * scale)
