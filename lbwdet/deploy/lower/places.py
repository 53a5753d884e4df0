"""What a network knows before it sees an image: maps that it has learned, and where pixels are."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.library.custom_op("lbwdet::embedding", mutates_args=())
def embedding(weight: Tensor, image: Tensor, height: int, width: int) -> Tensor:
    """A weight [height * width, channels] as a map [1, channels, height, width].

    Args:
        weight: of the network.
        image: any value: what depends on one is part of a program.
        height, width: of the map.
    """
    return weight.t().reshape(1, -1, height, width).clone()


@embedding.register_fake
def _(weight: Tensor, image: Tensor, height: int, width: int) -> Tensor:
    return image.new_empty(1, weight.shape[1], height, width)


@torch.library.custom_op("lbwdet::sine_encoding", mutates_args=())
def sine_encoding(
    like: Tensor, channels: int, temperature: float, scale: float, offset: float, eps: float
) -> Tensor:
    """Where each pixel of a map is, as the operation ``SineEncoding`` has it."""
    height, width = like.shape[2:]
    pairs = 2 * (torch.arange(channels, dtype=torch.float64) // 2) / channels

    def of_side(size: int) -> Tensor:
        place = torch.arange(1, size + 1, dtype=torch.float64)
        if scale:
            place = (place + offset) / (size + eps) * scale
        angle = place[:, None] * temperature**-pairs
        odd = torch.arange(channels) % 2 == 1
        return torch.where(odd, angle.cos(), angle.sin()).float().t()

    down = of_side(height)[:, :, None].expand(-1, -1, width)
    across = of_side(width)[:, None].expand(-1, height, -1)
    return torch.cat([down, across])[None].repeat(len(like), 1, 1, 1)


@sine_encoding.register_fake
def _(like: Tensor, channels: int, *_: Any) -> Tensor:
    return like.new_empty(like.shape[0], 2 * channels, *like.shape[2:])


@torch.library.custom_op("lbwdet::coordinates", mutates_args=())
def coordinates(like: Tensor) -> Tensor:
    """Where each pixel of a map is, as the operation ``Coordinates`` has it."""
    height, width = like.shape[2:]
    x, y = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)
    places = torch.stack([x[None].expand(height, -1), y[:, None].expand(-1, width)])
    return places[None].repeat(len(like), 1, 1, 1)


@coordinates.register_fake
def _(like: Tensor) -> Tensor:
    return like.new_empty(like.shape[0], 2, *like.shape[2:])


def sine_encoding_of(module: Any, like: Tensor) -> Tensor:
    """MMDetection's ``SinePositionalEncoding`` for a map of which every pixel is of the image."""
    scale = float(module.scale) if module.normalize else 0.0
    settings = (float(module.temperature), scale, float(module.offset), float(module.eps))
    found: Tensor = sine_encoding(like, module.num_feats, *settings)
    return found


def learned_places(module: Any, x: Tensor, hw_shape: Any, mode: str = "bilinear") -> Any:
    """MMDetection's, of PVT: one map for images of one size, resized to that of the tokens."""
    height, width = module.pos_shape
    weight = module.pos_embed[0, -height * width :]
    resized = F.interpolate(embedding(weight, x, height, width), size=hw_shape, mode=mode)
    return module.drop(x + resized.flatten(2).transpose(1, 2))
