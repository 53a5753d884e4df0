"""Transformers whose attention samples maps of several sizes (Deformable DETR), map by map.

MMDetection has the pixels of all maps in one row. What is done with each pixel by itself is the
same in either arrangement; attention alone reads several maps, and is one call.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from torch import Tensor

from lbwdet.deploy.lower.attention import kept_mask
from lbwdet.deploy.lower.mixing import mix
from lbwdet.deploy.lower.places import sine_encoding_of

UNLIMITED = 2.0**60


@torch.library.custom_op("lbwdet::deformable_attention", mutates_args=())
def deformable_attention(
    values: list[Tensor],
    offsets: Tensor,
    logits: Tensor,
    references: Tensor | None,
    heads: int,
    points: int,
) -> Tensor:
    """As the operation ``DeformableAttention`` has it; all are maps [n, channels, h, w]."""
    n, _, height, width = offsets.shape
    levels, queries = len(values), height * width
    places = offsets.flatten(2).transpose(1, 2).reshape(n, queries, heads, levels, points, 2)
    weights = logits.flatten(2).transpose(1, 2).reshape(n, queries, heads, levels * points)
    weights = weights.softmax(-1).reshape(n, queries, heads, levels, points)
    sides = torch.tensor([value.shape[2:] for value in values])
    if references is None:
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        middle = torch.stack([(x + 0.5) / width, (y + 0.5) / height], -1).reshape(-1, 1, 1, 1, 2)
        box = None
    else:
        shares = references.sigmoid().flatten(2).transpose(1, 2)[:, :, None, None, None]
        middle, box = shares[..., :2], shares[..., 2:]
    if box is None or not box.shape[-1]:
        places = middle + places / sides.flip(1)[:, None]
    else:
        places = middle + places / points * box * 0.5
    pixels = torch.cat([value.flatten(2) for value in values], 2).transpose(1, 2)
    mean = multi_scale_deformable_attn_pytorch(
        pixels.unflatten(2, (heads, -1)), sides, places, weights
    )
    found: Tensor = mean.transpose(1, 2).reshape(n, -1, height, width).contiguous()
    return found


@deformable_attention.register_fake
def _(values: list[Tensor], offsets: Tensor, *_: Any) -> Tensor:
    return offsets.new_empty(offsets.shape[0], values[0].shape[1], *offsets.shape[2:])


def as_tokens(x: Tensor) -> Tensor:
    """A map [n, channels, h, w] as [n, pixels, channels]."""
    return x.flatten(2).transpose(1, 2)


def as_map(tokens: Tensor, size: Sequence[int]) -> Tensor:
    """Tokens [n, pixels, channels] as a map of this height and width."""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *size)


def attend(
    module: Any,
    tokens: Tensor,
    places: Tensor,
    size: Sequence[int],
    values: Sequence[Tensor],
    references: Tensor | None = None,
) -> Any:
    """mmcv's ``MultiScaleDeformableAttention``, of queries that are a map of ``size``.

    Args:
        module: the module.
        tokens, places: of the queries, [n, pixels, channels].
        size: height and width.
        values: maps that its ``value_proj`` made.
        references: logits of where queries are, as a map; None: at their own pixels.
    """
    query = tokens + places
    mean = deformable_attention(
        list(values),
        as_map(module.sampling_offsets(query), size),
        as_map(module.attention_weights(query), size),
        references,
        module.num_heads,
        module.num_points,
    )
    return module.output_proj(as_tokens(mean)) + tokens


def projected(module: Any, maps: Sequence[Tensor]) -> list[Tensor]:
    """The maps as an attention reads them."""
    return [as_map(module.value_proj(as_tokens(x)), x.shape[2:]) for x in maps]


def encoded(model: Any, maps: Sequence[Tensor]) -> list[Tensor]:
    """What the encoder of a ``DeformableDETR`` makes of its maps: as many, of the same sizes."""
    return through_encoder(model.encoder, model.positional_encoding, model.level_embed, maps)


def through_encoder(
    encoder: Any, encoding: Any, levels: Sequence[Tensor], maps: Sequence[Tensor]
) -> list[Tensor]:
    """The maps after the layers of a ``DeformableDetrTransformerEncoder``.

    Args:
        encoder: the module.
        encoding: a ``SinePositionalEncoding``.
        levels: what is added to the places of each map, [channels].
        maps: [n, channels, h, w].
    """
    maps = list(maps)
    places = [
        as_tokens(sine_encoding_of(encoding, x)) + level
        for x, level in zip(maps, levels, strict=True)
    ]
    for layer in encoder.layers:
        values = projected(layer.self_attn, maps)
        made = []
        for x, place in zip(maps, places, strict=True):
            size = x.shape[2:]
            mean = attend(layer.self_attn, as_tokens(x), place, size, values)
            made.append(as_map(layer.norms[1](layer.ffn(layer.norms[0](mean))), size))
        maps = made
    return maps


def decoder_layer(
    layer: Any,
    queries: Tensor,
    places: Tensor,
    memory: Sequence[Tensor],
    references: Tensor,
    kept: Tensor | None = None,
) -> Any:
    """Queries [1, q, channels] after one layer of the decoder.

    Args:
        layer: the module.
        queries, places: [1, q, channels].
        memory: maps of the encoder.
        references: logits of where the queries are, [1, 2 or 4, 1, q].
        kept: numbers of queries that attend to all others, which attend to these alone.
    """
    found = layer.self_attn(
        query=queries,
        key=queries,
        value=queries,
        query_pos=places,
        key_pos=places,
        attn_mask=None if kept is None else kept_mask(kept, queries.shape[1]),
    )
    values = projected(layer.cross_attn, memory)
    size = references.shape[2:]
    found = attend(layer.cross_attn, layer.norms[0](found), places, size, values, references)
    return layer.norms[2](layer.ffn(layer.norms[1](found)))


def refined(deltas: Tensor, references: Tensor, eps: float = 1e-5) -> Any:
    """Logits of boxes: deltas [1, 4, 1, q] and, of x and y or of all four, those of references.

    MMDetection adds ``log(max(p, eps) / max(1 - p, eps))`` of the reference's sigmoid p, which is
    the logit up to its limits, and there away from it by ``eps`` at most.
    """
    limit, count = math.log((1 - eps) / eps), references.shape[1]
    factors = [float(k in (row, 4 + row)) for row in range(4) for k in range(4 + count)]
    limits = [UNLIMITED] * 4 + [limit] * count
    return mix([deltas, references], factors, [0.0] * 4, [], limits)
