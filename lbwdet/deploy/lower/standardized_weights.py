"""Convolutions that standardize their weights, as plain ones with the weights of training.

A standardized weight ``a_o * W_o + b_o`` has not the levels of W. But its convolution of x is
``a_o * (W_o * x) + b_o * S``, S the sum of all that a window covers: a convolution with W, whose
gain is a; one with ones; and one of a pixel with b, which is added.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from mmcv.cnn.bricks.conv_ws import ConvAWS2d, ConvWS2d
from torch import Tensor, nn
from torch.nn import functional as F

from lbwdet.layers import QuantLayer

Line = tuple[Tensor, Tensor]
"""a and b, float32 [o, 1, 1, 1] each."""


@contextlib.contextmanager
def standardized_weights(model: nn.Module) -> Iterator[None]:
    """Inside the block those of low bits are convolutions with the weights of training."""
    lines = {
        id(layer): _line(layer)
        for layer in model.modules()
        if isinstance(layer, ConvWS2d | ConvAWS2d)
        and isinstance(layer, QuantLayer)
        and layer.quantizer is not None
    }
    forwards = {kind: kind.forward for kind in (ConvWS2d, ConvAWS2d)}

    def forward(layer: Any, input: Tensor) -> Any:
        if id(layer) not in lines:
            (own,) = (forwards[kind] for kind in forwards if isinstance(layer, kind))
            return own(layer, input)
        return _convolve(layer, input, *lines[id(layer)])

    try:
        for kind in forwards:
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


def _convolve(layer: Any, input: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    settings = (layer.stride, layer.padding, layer.dilation, layer.groups)
    product = F.conv2d(input, layer.weight, None, *settings) * gain.reshape(1, -1, 1, 1)
    if layer.bias is not None:
        product = product + layer.bias.reshape(1, -1, 1, 1)
    ones = torch.ones(layer.groups, *layer.weight.shape[1:])
    sums = F.conv2d(input, ones, None, *settings)
    return product + F.conv2d(sums, offset, None, groups=layer.groups)
