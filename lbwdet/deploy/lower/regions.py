"""What regions compute with one another, and with numbers made for each, as single calls."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lbwdet.errors import ConfigError


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


@torch.library.custom_op("lbwdet::place_attention", mutates_args=())
def place_attention(
    query: Tensor,
    value: Tensor,
    across: Sequence[float],
    down: Sequence[float],
    heads: int,
    step: int,
) -> Tensor:
    """As the operation ``PlaceAttention`` has it, of maps [n, c, h, w].

    Args:
        query, value: maps.
        across, down: of each distance, beginning with the smallest, a number for each channel.
        heads: parts of the channels.
        step: between the places of values, in queries.
    """
    n, channels, *sides = query.shape
    numbers = []
    for table, queries, values in zip((down, across), sides, value.shape[2:], strict=True):
        distances = torch.tensor(table, dtype=query.dtype).reshape(-1, heads, channels // heads)
        place = torch.arange(queries)[:, None] + step * torch.arange(values).flip(0)
        numbers.append(distances[place])
    q = query.reshape(n, heads, channels // heads, *sides)
    of_y = torch.einsum("nhcxy,ykhc->nhyxk", q, numbers[0])  # the query at (x, y)
    of_x = torch.einsum("nhcyx,xkhc->nhyxk", q, numbers[1])
    weights = (of_y[..., :, None] + of_x[..., None, :]).flatten(-2).softmax(-1)
    values = value.flatten(2).unflatten(1, (heads, -1))
    return torch.einsum("nhyxk,nhck->nhcyx", weights, values).reshape(n, -1, *sides)


@place_attention.register_fake
def _(query: Tensor, value: Tensor, *_: Any) -> Tensor:
    return query.new_empty(len(query), value.shape[1], *query.shape[2:])


def read_places(name: str, module: Any, size: int) -> Callable[[Any, Tensor], Tensor]:
    """mmcv's empirical attention of the kind 0100, whose logits are of queries and distances.

    Args:
        name: of the module in a model.
        module: that of mmcv.
        size: height and width of its maps.

    Returns:
        What it computes, of the model and of maps.

    Raises:
        ConfigError: it is of another kind.
    """
    kind = "".join(str(int(has)) for has in module.attention_type)
    if kind != "0100" or module.spatial_range >= 0 or module.q_stride != 1:
        raise ConfigError(
            f"{name}: attention_type={kind!r}, spatial_range={module.spatial_range}, "
            f"q_stride={module.q_stride} cannot be lowered; supported is '0100' of all pixels"
        )
    step = int(module.kv_stride)
    count = -(-size // step)
    with torch.no_grad():
        across, down = (
            _of_distances(module, layer, size, count)
            for layer in (module.appr_geom_fc_x, module.appr_geom_fc_y)
        )

    def compute(model: Any, x: Tensor) -> Tensor:
        own = model.get_submodule(name)
        source = x if own.kv_downsample is None else own.kv_downsample(x)
        query, value = own.query_conv(x), own.value_conv(source)
        mean = place_attention(query, value, across, down, own.num_heads, step)
        found: Tensor = own.gamma * own.proj_conv(mean) + x
        return found

    return compute


def _of_distances(module: Any, layer: Any, size: int, count: int) -> list[float]:
    """What a layer with its low-bit weight makes of the distances, as sines and cosines."""
    step, dim = module.kv_stride, module.position_embedding_dim
    distances = torch.arange(-(count - 1) * step, size).float() * module.position_magnitude
    wave = torch.tensor([1000.0]) ** (4.0 / dim * torch.arange(0, dim / 4))
    angles = distances[:, None] / wave
    vectors = layer(torch.cat([angles.sin(), angles.cos()], 1)) / 2**0.5
    found: list[float] = vectors.flatten().tolist()
    return found


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
