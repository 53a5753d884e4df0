"""Top levels and levels of a weight, by what they do to the outputs."""

import dataclasses

import torch
from torch import Tensor

from lbwdet.posttraining.rounding import Levels, descend, feed_back, output_error, upper_factor

_ELEMENTS = 1 << 22  # of the weights looked at together, candidates included
_LOWEST = -90  # exponent of a top level: far above the smallest float32, all levels included
_LARGEST = 4 / 3  # no top level above this multiple of the largest weight is of use


@dataclasses.dataclass(frozen=True)
class Search:
    """How levels are chosen; each part of it can be switched off.

    Attributes:
        feedback: error feedback; without it the nearest levels are taken.
        sweeps: of coordinate descent after it.
        phases: candidates per octave for the top level of a channel that may have any.
        octaves: how far down from the largest weight real top levels are tried; powers of
            two go three steps further.
    """

    feedback: bool = True
    sweeps: int = 4
    phases: int = 8
    octaves: int = 2


def choose_levels(
    target: Tensor,
    moments: Tensor,
    levels: Levels,
    tops: Tensor,
    together: tuple[int, ...],
    search: Search,
) -> tuple[Tensor, Tensor]:
    """The levels for which the outputs are nearest to those of ``target``.

    Args:
        target: float64 [G, R, d].
        moments: float64 [G, d, d], damped.
        levels: of a row whose top level is 1.
        tops: float32 [G, R, K], top levels to choose from.
        together: axes of [G, R] along which the same of the K is taken.

    Returns:
        float32 [G, R, d], the levels relative to their top level, and float32 [G, R], the
        top levels.
    """
    groups, rows, columns = target.shape
    weight, plain = target.float(), moments.float()
    order = torch.arange(columns).expand(groups, columns)
    factor = None
    if search.feedback:
        diagonal = moments.diagonal(dim1=-2, dim2=-1)
        order = torch.argsort(diagonal, dim=-1, descending=True, stable=True)
        factor = upper_factor(_ordered(moments, order)).float()
        plain = _ordered(plain, order)
    weight = weight.gather(2, order[:, None].expand(-1, rows, -1))
    number = tops.shape[-1]
    errors = torch.empty_like(tops)
    step = max(1, _ELEMENTS // (groups * columns * number))
    for start in range(0, rows, step):
        part = weight[:, start : start + step]
        wide = part.repeat_interleave(number, 1)
        top = tops[:, start : start + step].reshape(groups, -1)
        rounded = _round(wide, factor, levels, top)
        errors[:, start : start + step] = output_error(wide - rounded, plain).reshape(
            groups, -1, number
        )
    if together:
        errors = errors.sum(together, keepdim=True)
    best = errors.argmin(-1).expand(groups, rows)
    top = tops.gather(2, best[..., None])[..., 0]
    rounded = torch.empty_like(weight)
    step = max(1, _ELEMENTS // (groups * columns))
    for start in range(0, rows, step):
        own = slice(start, start + step)
        part, its_top = weight[:, own], top[:, own]
        first = _round(part, factor, levels, its_top)
        rounded[:, own] = descend(first, part, plain, levels, its_top, search.sweeps)
    relative = levels.nearest(rounded / top[..., None], torch.ones(()))
    return relative.gather(2, order.argsort(-1)[:, None].expand(-1, rows, -1)), top


def _round(weight: Tensor, factor: Tensor | None, levels: Levels, top: Tensor) -> Tensor:
    if factor is None:
        return levels.nearest(weight, top[..., None])
    return feed_back(weight, factor, levels, top)


def _ordered(moments: Tensor, order: Tensor) -> Tensor:
    size = moments.shape[-1]
    by_rows = moments.gather(1, order[..., None].expand(-1, -1, size))
    return by_rows.gather(2, order[:, None].expand(-1, size, -1))


def real_tops(weight: Tensor, search: Search) -> Tensor:
    """Top levels to try where a batch norm behind takes any factor: [G, R, K] of [G, R, d]."""
    number = search.octaves * search.phases
    return _reach(weight) * torch.exp2(-torch.arange(number) / search.phases)


def powers_of_two(weight: Tensor, together: tuple[int, ...], search: Search) -> Tensor:
    """Powers of two to try for top levels: [G, R, K] of [G, R, d], ``together`` the same."""
    reach = 1.5 * _reach(weight)  # two terms reach twice the largest weight
    if together:
        reach = reach.amax(together, keepdim=True).expand_as(reach)
    exponent = torch.frexp(reach).exponent - 1 - torch.arange(search.octaves + 3)
    return torch.ldexp(torch.ones(exponent.shape), exponent.clamp(min=_LOWEST))


def _reach(weight: Tensor) -> Tensor:
    reach = weight.float().abs().amax(-1, keepdim=True) * _LARGEST
    return torch.where(reach > 0, reach, 1.0)
