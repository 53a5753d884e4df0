"""Attention of pixels to pixels, as one call of tokens [n, pixels, channels]."""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn.bricks.generalized_attention import GeneralizedAttention
from mmcv.cnn.bricks.non_local import _NonLocalNd
from torch import Tensor, nn
from torch.nn import functional as F

from lbwdet.deploy.lower.places import embedding


@torch.library.custom_op("lbwdet::attention", mutates_args=())
def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    heads: int,
    scale: float,
    mask: Tensor | None = None,
) -> Tensor:
    """``softmax(scale * q k^T) v`` in each head; ``mask``: a :func:`kept_mask`."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    seen = None if mask is None else ~mask
    found = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale)
    return found.transpose(1, 2).flatten(-2)


@attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, *_: Any) -> Tensor:
    return query.new_empty(*query.shape[:2], value.shape[2])


@torch.library.custom_op("lbwdet::kept_mask", mutates_args=())
def kept_mask(kept: Tensor, count: int) -> Tensor:
    """Of so many queries [count, count]: True where neither of two is kept: they do not meet.

    Args:
        kept: numbers of queries, as a map [1, 1, 1, m]; -1 names none.
        count: of queries.
    """
    there = torch.zeros(count, dtype=torch.bool)
    there[kept[kept >= 0].long()] = True
    return ~(there[:, None] | there)


@kept_mask.register_fake
def _(kept: Tensor, count: int) -> Tensor:
    return torch.empty(count, count, dtype=torch.bool)


# Only traced, never run: what it computes is the operation Attention with a window.
_LIBRARY = torch.library.Library("lbwdet", "FRAGMENT")
_LIBRARY.define(
    "window_attention(Tensor query, Tensor key, Tensor value, int heads, float scale, Tensor bias, "
    "Tensor key_padding, Tensor value_padding, int window, int shift) -> Tensor"
)


def _in_windows(query: Tensor, key: Tensor, value: Tensor, *settings: Any) -> Tensor:
    return query.new_empty(*query.shape[:2], value.shape[2])


torch.library.register_fake("lbwdet::window_attention", _in_windows, lib=_LIBRARY)


_MULTIHEAD, _NON_LOCAL = nn.MultiheadAttention.forward, _NonLocalNd.forward
_GENERALIZED = GeneralizedAttention.forward


def multihead_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    *arguments: Any,
    **settings: Any,
) -> Any:
    """PyTorch's, whose weights nobody reads."""
    other = None if attn_mask is None or attn_mask.dim() == 2 else attn_mask
    masks = (key_padding_mask, other, module.in_proj_weight is None or None, module.bias_k)
    if any(mask is not None for mask in masks) or module.add_zero_attn or query.dim() != 3:
        return _MULTIHEAD(
            module, query, key, value, key_padding_mask, need_weights, attn_mask, *arguments,
            **settings,
        )  # fmt: skip
    tokens = [x if module.batch_first else x.transpose(0, 1) for x in (query, key, value)]
    parts = _projected(tokens, module.in_proj_weight, module.in_proj_bias)
    mean = attention(*parts, module.num_heads, float(module.head_dim**-0.5), attn_mask)
    result = F.linear(mean, module.out_proj.weight, module.out_proj.bias)
    return result if module.batch_first else result.transpose(0, 1), None


def _projected(tokens: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> list[Tensor]:
    """Queries, keys and values, whose three matrices are one: of each, its own rows."""
    size = len(weight) // 3
    return [
        F.linear(x, weight, bias).index_select(2, torch.arange(i * size, (i + 1) * size))
        for i, x in enumerate(tokens)
    ]


def shifted_windows(module: Any, query: Tensor, hw_shape: Any) -> Any:
    """MMDetection's, of Swin: pixels around the map are zero before the projection."""
    inner = module.w_msa
    bias = torch.zeros(3 * query.shape[2]) if inner.qkv.bias is None else inner.qkv.bias
    _, key, value = bias.chunk(3)
    mean = torch.ops.lbwdet.window_attention(
        *_projected([query] * 3, inner.qkv.weight, inner.qkv.bias),
        inner.num_heads,
        float(inner.scale),
        inner.relative_position_bias_table.t(),
        key,
        value,
        module.window_size,
        module.shift_size,
    )
    return module.drop(F.linear(mean, inner.proj.weight, inner.proj.bias))


def non_local(module: Any, x: Tensor) -> Any:
    """mmcv's, of two dimensions, with a softmax of products."""
    if module.mode not in ("gaussian", "embedded_gaussian") or x.dim() != 4:
        return _NON_LOCAL(module, x)
    plain = module.mode == "gaussian"
    query = x if plain else module.theta(x)
    key = module.phi(x) if hasattr(module, "phi") else x
    scaled = module.use_scale and not plain
    scale = query.shape[1] ** -0.5 if scaled else 1.0
    parts = [part.flatten(2).transpose(1, 2) for part in (query, key, module.g(x))]
    mean = attention(*parts, 1, scale).transpose(1, 2)
    return x + module.conv_out(mean.reshape(len(x), -1, *x.shape[2:]))


def salient_keys(module: Any, x: Tensor) -> Any:
    """mmcv's empirical attention of the kind 0010, in which one learned query serves all pixels."""
    if module.attention_type != [False, False, True, False] or module.spatial_range >= 0:
        return _GENERALIZED(module, x)
    source = x if module.kv_downsample is None else module.kv_downsample(x)
    query = embedding(module.appr_bias.unsqueeze(0), x, 1, 1)
    parts = [
        part.flatten(2).transpose(1, 2)
        for part in (query, module.key_conv(source), module.value_conv(source))
    ]
    mean = attention(*parts, module.num_heads, 1.0).transpose(1, 2)
    # However many queries it would have: their results are alike.
    return module.gamma * module.proj_conv(mean.reshape(len(x), -1, 1, 1)) + x
