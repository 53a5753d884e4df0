"""What regions compute along their width and height, as single calls: SABL's."""

import torch
from torch import Tensor


@torch.library.custom_op("lbwdet::line_mean", mutates_args=())
def line_mean(input: Tensor, logits: Tensor, lines: str) -> Tensor:
    """Means of the pixels of ``columns`` or ``rows``, with the sigmoids of logits as weights."""
    axis, weights = 2 if lines == "columns" else 3, logits.sigmoid()
    return (input * (weights / weights.sum(axis, keepdim=True))).sum(axis, keepdim=True)


@line_mean.register_fake
def _(input: Tensor, logits: Tensor, lines: str) -> Tensor:
    n, channels, height, width = input.shape
    sides = (1, width) if lines == "columns" else (height, 1)
    return input.new_empty(n, channels, *sides)


@torch.library.custom_op("lbwdet::longer_line", mutates_args=())
def longer_line(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A transposed convolution of a line whose stride is its kernel's size, in channels.

    Args:
        input: [n, i, h, w].
        weight: [i, o, k], of the convolution.
        bias: [o].

    Returns:
        [n, k * o, h, w]: of each pixel the k pixels that it becomes, one after the other.
    """
    made = torch.einsum("nihw,iok->nkohw", input, weight) + bias[:, None, None]
    return made.flatten(1, 2)


@longer_line.register_fake
def _(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    n, _, *sides = input.shape
    return input.new_empty(n, weight.shape[1] * weight.shape[2], *sides)


@torch.library.custom_op("lbwdet::line_numbers", mutates_args=())
def line_numbers(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer to one number, of each of the pixels that :func:`longer_line` makes.

    Args:
        input: [n, k * i, h, w].
        weight: [1, i].
        bias: [1].

    Returns:
        [n, k, h, w].
    """
    n, channels, height, width = input.shape
    parts = input.reshape(n, channels // weight.shape[1], -1, height, width)
    return torch.einsum("nkihw,i->nkhw", parts, weight[0]) + bias


@line_numbers.register_fake
def _(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    n, channels, height, width = input.shape
    return input.new_empty(n, channels // weight.shape[1], height, width)
