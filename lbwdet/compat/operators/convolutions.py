"""Deformable convolutions (DCN, DCNv2), by torchvision, and masked convolution.

Offsets are (y, x) pairs per kernel tap: [N, deformable_group * kH * kW * 2, H_out, W_out].
Outputs are [N, C_out, H_out, W_out], weights [C_out, C_in / group, kH, kW].
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lbwdet.compat.operators.numerics import widen


class _Geometry(NamedTuple):
    """In the order in which torchvision's operators take it."""

    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int
    group: int
    deformable_group: int


class _Gradients(NamedTuple):
    """In the order in which torchvision's operator returns them."""

    input: Tensor
    weight: Tensor
    offset: Tensor
    mask: Tensor
    bias: Tensor


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Fills ``output``; d stands for stride, as mmcv calls it."""
    geometry = _Geometry(dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(_convolve(input, weight, offset, None, None, geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Fills ``grad_input`` and ``grad_offset``."""
    geometry = _Geometry(dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    gradients = _differentiate(grad_output, input, weight, offset, None, geometry)
    grad_input.copy_(gradients.input)
    grad_offset.copy_(gradients.offset)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Fills ``grad_weight`` with ``scale`` times the gradient."""
    geometry = _Geometry(dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    # The weight itself does not enter its own gradient, only its shape does.
    gradients = _differentiate(grad_output, input, grad_weight, offset, None, geometry)
    grad_weight.copy_(gradients.weight * scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Fills ``output``; ``mask`` [N, deformable_group * kernel_h * kernel_w, H_out, W_out]
    scales each sample, ``bias`` is [C_out], or empty without bias."""
    geometry = _Geometry(
        stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group
    )
    offset, mask = _as_indexed(offset, output), _as_indexed(mask, output)
    output.copy_(_convolve(input, weight, offset, mask, bias if with_bias else None, geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Fills the five gradients, each shaped like its input."""
    geometry = _Geometry(
        stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group
    )
    read = (_as_indexed(offset, grad_output), _as_indexed(mask, grad_output))
    gradients = _differentiate(grad_output, input, weight, *read, geometry)
    grad_input.copy_(gradients.input)
    grad_weight.copy_(gradients.weight)
    for buffer, gradient in ((grad_offset, gradients.offset), (grad_mask, gradients.mask)):
        unread = math.prod(buffer.shape[1:]) - math.prod(gradient.shape[1:])
        buffer.copy_(F.pad(gradient.flatten(1), (0, unread)).view(buffer.shape))
    if with_bias:
        grad_bias.copy_(gradients.bias)


def masked_im2col_forward(
    features: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    data_col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Fills ``data_col`` with the patches under a kernel at each of K positions.

    Args:
        features: [1, C, H, W].
        mask_h_idx: [K], rows of the positions in the output.
        mask_w_idx: [K], their columns.
        data_col: [C * kernel_h * kernel_w, K].
        kernel_h: rows of the kernel.
        kernel_w: columns of the kernel.
        pad_h: zero rows added above and below.
        pad_w: zero columns added left and right.
    """
    padded = F.pad(features[0], (pad_w, pad_w, pad_h, pad_h))
    rows = torch.arange(kernel_h, device=features.device)[:, None, None] + mask_h_idx
    columns = torch.arange(kernel_w, device=features.device)[:, None] + mask_w_idx
    data_col.copy_(padded[:, rows, columns].flatten(0, 2))


def masked_col2im_forward(
    data_col: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    data_im: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Writes the columns of ``data_col`` [C, K] to their positions in ``data_im`` [1, C, H, W]."""
    data_im[0, :, mask_h_idx, mask_w_idx] = data_col


def _as_indexed(tensor: Tensor, output: Tensor) -> Tensor:
    """An offset or mask with the height and width of the output, as mmcv's kernels see it.

    They index both as if they had that size. DyHead passes larger ones, from a
    finer level, and its checkpoints are trained on what is read then: the first
    values of each image, in memory order.
    """
    size = (tensor.size(1), *output.shape[2:])
    return tensor.flatten(1)[:, : math.prod(size)].reshape(len(tensor), *size)


def _convolve(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: _Geometry,
) -> Tensor:
    """Output of the deformable convolution, in at least float32."""
    operands = _operands(input, weight, offset, mask, bias)
    output: Tensor = torch.ops.torchvision.deform_conv2d(*operands, *geometry, mask is not None)
    return output


def _differentiate(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    geometry: _Geometry,
) -> _Gradients:
    """All gradients of :func:`_convolve`; torchvision computes them in one go."""
    return _Gradients(
        *torch.ops.torchvision._deform_conv2d_backward(
            widen(grad_output),
            *_operands(input, weight, offset, mask, None),
            *geometry,
            mask is not None,
        )
    )


def _operands(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, ...]:
    """What torchvision takes: it wants stand-ins for an absent mask and bias."""
    if mask is None:
        mask = input.new_zeros(input.size(0), 1)
    if bias is None:
        bias = input.new_zeros(weight.size(0))
    return tuple(widen(tensor) for tensor in (input, weight, offset, mask, bias))
