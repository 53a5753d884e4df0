"""What regions compute with one another, and with numbers made for each, as single calls."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.library.custom_op("lbwdet::of_boxes", mutates_args=())
def of_boxes(weight: Tensor, boxes: Tensor) -> Tensor:
    """A weight [n, channels] as what is known of n boxes from the start."""
    return weight.clone()


@of_boxes.register_fake
def _(weight: Tensor, boxes: Tensor) -> Tensor:
    return boxes.new_empty(weight.shape)


@torch.library.custom_op("lbwdet::attention_across", mutates_args=())
def attention_across(query: Tensor, key: Tensor, value: Tensor, heads: int, scale: float) -> Tensor:
    """``softmax(scale * q k^T) v`` in each head, of vectors [n, channels] of n regions."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(0, 1) for x in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, scale=scale).transpose(0, 1).flatten(1)


@attention_across.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, heads: int, scale: float) -> Tensor:
    return query.new_empty(len(query), value.shape[1])


@torch.library.custom_op("lbwdet::region_product", mutates_args=())
def region_product(input: Tensor, matrices: Tensor, first: int, channels: int) -> Tensor:
    """Pixels [n, c, h, w] times a matrix [c, channels] of each region.

    Args:
        input: features.
        matrices: [n, numbers], of which the matrix is those from ``first`` on.
        first, channels: of the matrix.
    """
    n, depth, height, width = input.shape
    matrix = matrices[:, first : first + depth * channels].reshape(n, depth, channels)
    product = matrix.transpose(1, 2) @ input.flatten(2)
    return product.reshape(n, channels, height, width)


@region_product.register_fake
def _(input: Tensor, matrices: Tensor, first: int, channels: int) -> Tensor:
    return input.new_empty(input.shape[0], channels, *input.shape[2:])


def self_attention(module: Any, objects: Tensor) -> Tensor:
    """mmcv's ``MultiheadAttention`` of vectors [n, channels] with one another."""
    inner = module.attn
    size = inner.embed_dim
    joined = F.linear(objects, inner.in_proj_weight, inner.in_proj_bias)
    query, key, value = (
        joined.index_select(1, torch.arange(part * size, (part + 1) * size)) for part in range(3)
    )
    scale = float(inner.head_dim**-0.5)
    mean = attention_across(query, key, value, inner.num_heads, scale)
    found = F.linear(mean, inner.out_proj.weight, inner.out_proj.bias)
    return objects + found


def dynamic_conv(module: Any, objects: Tensor, features: Tensor) -> Tensor:
    """MMDetection's ``DynamicConv``: matrices of each object times its region's features.

    Args:
        module: that of MMDetection.
        objects: [n, channels].
        features: [n, channels, h, w].

    Returns:
        Vectors [n, channels]; of a module without projection pixels [n, h * w, channels].
    """
    matrices = module.dynamic_layer(objects)
    sides, inner = features.shape[2:], module.feat_channels
    first = _pixels(region_product(features, matrices, 0, inner))
    first = module.activation(module.norm_in(first))
    maps = first.transpose(1, 2).unflatten(2, sides)
    second = _pixels(region_product(maps, matrices, module.num_params_in, module.out_channels))
    second = module.activation(module.norm_out(second))
    if module.with_proj:
        second = module.activation(module.fc_norm(module.fc_layer(second.flatten(1))))
    found: Tensor = second
    return found


def _pixels(maps: Tensor) -> Tensor:
    return maps.flatten(2).transpose(1, 2)
