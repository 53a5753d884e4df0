"""Convolutions that standardize their weights, as plain ones with the weights of training.

A standardized weight ``a_o * W_o + b_o`` has not the levels of W. But its convolution of x is
``a_o * (W_o * x) + b_o * S``, S the sum of all that a window covers: a convolution with W, whose
gain is a; one with ones; and one of a pixel with b, which is added.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmcv.cnn.bricks.conv_ws import ConvAWS2d, ConvWS2d
from mmcv.ops.deform_conv import deform_conv2d
from mmcv.ops.saconv import SAConv2d
from torch import Tensor, nn
from torch.nn import functional as F

from lbwdet.layers import QuantLayer

Line = tuple[Tensor, Tensor]
"""a and b, float32 [o, 1, 1, 1] each."""

KINDS = (SAConv2d, ConvWS2d, ConvAWS2d)  # the first of which is one of the last, too


@contextlib.contextmanager
def standardized_weights(model: nn.Module) -> Iterator[None]:
    """Inside the block those of low bits are convolutions with the weights of training."""
    lines = {
        id(layer): _line(layer)
        for layer in model.modules()
        if isinstance(layer, KINDS)
        and isinstance(layer, QuantLayer)
        and layer.quantizer is not None
        # What it quantizes is not yet what its convolutions read.
        and not (isinstance(layer, SAConv2d) and layer.input_quantizer is not None)
    }
    forwards = {kind: kind.forward for kind in KINDS}

    def forward(layer: Any, input: Tensor) -> Any:
        if id(layer) not in lines:
            own = next(forwards[kind] for kind in KINDS if isinstance(layer, kind))
            return own(layer, input)
        convolve = _switched if isinstance(layer, SAConv2d) else _convolved
        return convolve(layer, input, *lines[id(layer)])

    try:
        for kind in KINDS:
            kind.forward = forward
        yield
    finally:
        for kind, own in forwards.items():
            kind.forward = own


@torch.no_grad()
def _line(layer: Any) -> Line:
    weight = layer.fake_quantized_weight().double()
    rows = weight.flatten(1)
    mean, spread = rows.mean(1), rows.std(1)
    if isinstance(layer, ConvAWS2d):
        spread = (rows.var(1) + 1e-5).sqrt()
        gain = layer.weight_gamma.flatten() / spread
        offset = layer.weight_beta.flatten() - mean * gain
    else:
        gain = 1 / (spread + layer.eps)
        offset = -mean * gain
    shape = (-1, 1, 1, 1)
    return gain.float().reshape(shape), offset.float().reshape(shape)


def _convolved(layer: Any, input: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    def convolve(weight: Tensor) -> Tensor:
        settings = (layer.stride, layer.padding, layer.dilation, layer.groups)
        return F.conv2d(input, weight, None, *settings)

    product = convolve(layer.weight) * gain.reshape(1, -1, 1, 1)
    if layer.bias is not None:
        product = product + layer.bias.reshape(1, -1, 1, 1)
    return product + _offset(layer, convolve, offset)


def _offset(layer: Any, convolve: Callable[[Tensor], Tensor], offset: Tensor) -> Tensor:
    """Of each output channel ``b * S``."""
    ones = torch.ones(layer.groups, *layer.weight.shape[1:])
    return F.conv2d(convolve(ones), offset, None, groups=layer.groups)


def _switched(layer: Any, input: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """Switchable atrous convolution (DetectoRS, arXiv 2006.02334), whose bias counts for nothing.

    A mean of two convolutions, of which one has a dilation three times as large and a weight of
    its own beside the other's; how much of each, every pixel decides.
    """
    input = input + layer.pre_context(F.adaptive_avg_pool2d(input, 1))
    around = F.avg_pool2d(F.pad(input, (2, 2, 2, 2), mode="reflect"), 5, 1)
    switch = layer.switch(around)

    def standardized(convolve: Callable[[Tensor], Tensor]) -> Tensor:
        product = convolve(layer.weight) * gain.reshape(1, -1, 1, 1)
        return product + _offset(layer, convolve, offset)

    near, far = (_atrous(layer, input, around, times) for times in (1, 3))
    far_product = standardized(far) + far(layer.weight_diff)
    mean = switch * standardized(near) + (1 - switch) * far_product
    return mean + layer.post_context(F.adaptive_avg_pool2d(mean, 1))


def _atrous(layer: Any, input: Tensor, around: Tensor, times: int) -> Callable[[Tensor], Tensor]:
    """The convolution of the input with so many times the layer's dilation, by its weight."""
    padding, dilation = (
        [times * side for side in sides] for sides in (layer.padding, layer.dilation)
    )
    if not layer.use_deform:
        return lambda weight: F.conv2d(
            input, weight, None, layer.stride, padding, dilation, layer.groups
        )
    shifts = (layer.offset_s if times == 1 else layer.offset_l)(around)
    return lambda weight: deform_conv2d(
        input, shifts, weight, layer.stride, tuple(padding), tuple(dilation), layer.groups, 1
    )
