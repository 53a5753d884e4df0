"""Queries that begin where the encoder finds something (two-stage Deformable DETR, DINO)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import box_convert, nms

from lbwdet.deploy.lower.deformable_attention import as_map, as_tokens
from lbwdet.errors import ConfigError

MARGIN = 0.01  # pixels nearer to the image's sides propose nothing
SIDE = 0.05  # of the boxes that the first map's pixels propose; twice as much of the next
WAVES = 128  # numbers that encode each of a box's


@torch.library.custom_op("lbwdet::inner_pixels", mutates_args=())
def inner_pixels(x: Tensor, margin: float) -> Tensor:
    """Zeros at the rim, as the operation ``InnerPixels`` has it."""
    return torch.where(_inner(x, margin), x, 0.0)


@torch.library.custom_op("lbwdet::proposal_boxes", mutates_args=())
def proposal_boxes(deltas: Tensor, side: float, margin: float) -> Tensor:
    """Logits of boxes, as the operation ``ProposalBoxes`` has them."""
    _, _, height, width = deltas.shape
    start = torch.full_like(deltas, side)
    start[:, 0] = (torch.arange(width) + 0.5) / width
    start[:, 1] = ((torch.arange(height) + 0.5) / height)[:, None]
    return torch.where(_inner(deltas, margin), deltas + start.logit(), 100.0)


def _inner(x: Tensor, margin: float) -> Tensor:
    y, x = (((torch.arange(side) + 0.5) / side) for side in x.shape[2:])
    down, across = ((place > margin) & (place < 1 - margin) for place in (y, x))
    return down[:, None] & across


@inner_pixels.register_fake
@proposal_boxes.register_fake
def _(x: Tensor, *_: float) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("lbwdet::best_pixels", mutates_args=())
def best_pixels(scores: list[Tensor], count: int, classes: int) -> Tensor:
    """Numbers [1, 1, 1, count], as the operation ``BestPixels`` has them."""
    best = torch.cat([x[0, :classes].amax(0).flatten() for x in scores])
    chosen = best.argsort(descending=True, stable=True)[:count]
    found = torch.full((1, 1, 1, count), -1.0)
    found[..., : len(chosen)] = chosen
    return found


@best_pixels.register_fake
def _(scores: list[Tensor], count: int, classes: int) -> Tensor:
    return scores[0].new_empty(1, 1, 1, count)


@torch.library.custom_op("lbwdet::distinct_pixels", mutates_args=())
def distinct_pixels(
    scores: list[Tensor],
    boxes: list[Tensor],
    count: int,
    iou_threshold: float,
    among: Tensor | None = None,
) -> Tensor:
    """Numbers [1, 1, 1, count], as the operation ``DistinctPixels`` has them."""
    best = torch.cat([x[0].amax(0).flatten() for x in scores]).sigmoid()
    shares = torch.cat([x[0].flatten(1) for x in boxes], 1).t().sigmoid()
    counts = torch.arange(len(best))
    if among is not None and not (among == 0).any():
        counts = among[among >= 0].long().sort().values
    kept = nms(box_convert(shares, "cxcywh", "xyxy")[counts], best[counts], iou_threshold)
    chosen = counts[kept[:count]]
    found = torch.full((1, 1, 1, count), -1.0)
    found[..., : len(chosen)] = chosen
    return found


@distinct_pixels.register_fake
def _(scores: list[Tensor], boxes: list[Tensor], count: int, *_: Any) -> Tensor:
    return scores[0].new_empty(1, 1, 1, count)


@torch.library.custom_op("lbwdet::chosen_pixels", mutates_args=())
def chosen_pixels(inputs: list[Tensor], numbers: Tensor) -> Tensor:
    """Those with these numbers, as the operation ``ChosenPixels`` has them."""
    pixels = torch.cat([x.flatten(2) for x in inputs], 2)
    chosen = pixels[:, :, numbers.clamp(min=0).long().flatten()].unflatten(2, numbers.shape[2:])
    return torch.where(numbers < 0, 0.0, chosen)


@chosen_pixels.register_fake
def _(inputs: list[Tensor], numbers: Tensor) -> Tensor:
    return numbers.new_empty(1, inputs[0].shape[1], *numbers.shape[2:])


@torch.library.custom_op("lbwdet::box_encoding", mutates_args=())
def box_encoding(
    input: Tensor, channels: int, order: list[int], temperature: float, scale: float
) -> Tensor:
    """Sines of boxes, as the operation ``BoxEncoding`` has them."""
    pairs = 2 * (torch.arange(channels) // 2) / channels
    angle = input[:, order, None].sigmoid() * scale / temperature ** pairs[:, None, None]
    odd = (torch.arange(channels) % 2 == 1)[:, None, None]
    return torch.where(odd, angle.cos(), angle.sin()).flatten(1, 2)


@box_encoding.register_fake
def _(input: Tensor, channels: int, order: list[int], *_: float) -> Tensor:
    return input.new_empty(len(input), channels * len(order), *input.shape[2:])


def proposals(model: Any, memory: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Of every pixel of the encoder's maps scores, and logits of the box that it proposes.

    Args:
        model: a two-stage ``DeformableDETR``.
        memory: what the encoder makes of its maps.
    """
    head, index = model.bbox_head, model.decoder.num_layers
    scores, boxes = [], []
    for level, x in enumerate(memory):
        inner = as_tokens(inner_pixels(x, MARGIN))
        tokens = model.memory_trans_norm(model.memory_trans_fc(inner))
        scores.append(as_map(head.cls_branches[index](tokens), x.shape[2:]))
        deltas = as_map(head.reg_branches[index](tokens), x.shape[2:])
        boxes.append(proposal_boxes(deltas, SIDE * 2**level, MARGIN))
    return scores, boxes


def proposed(model: Any, memory: Sequence[Tensor], classes: int) -> Any:
    """Logits of the boxes [1, 4, 1, q] of the best pixels, by the first ``classes`` scores."""
    scores, boxes = proposals(model, memory)
    return chosen_pixels(boxes, best_pixels(scores, model.num_queries, classes))


def check_levels(model: Any) -> None:
    """Raises ConfigError if boxes that pixels propose would be larger than the image."""
    levels = int(model.num_feature_levels)
    if SIDE * 2 ** (levels - 1) >= 1 - MARGIN:
        raise ConfigError(
            f"num_feature_levels={levels} cannot be lowered: boxes that the last map proposes "
            "would be larger than the image; give 5 at most"
        )
