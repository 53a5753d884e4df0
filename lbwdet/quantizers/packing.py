"""Weights of many layers in few matrices, so that few operations treat them all.

On a GPU an operation takes its microseconds however small it is, and a projection is some
seventy of them: for each of a hundred layers that is a third of a training step.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

WIDTHS = (64, 512, 4096)
Shapes = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class Packed:
    """Groups of several layers as rows of one matrix.

    Attributes:
        layers: which of the layers these are.
        rows: float32 [R, width]; a group takes one or more of them, and zeros fill the last.
        group: int64 [R], the group of each row, counted through the layers.
        shapes: groups and weights of a group, of each of the layers.
    """

    layers: list[int]
    rows: Tensor
    group: Tensor
    shapes: Shapes

    @property
    def num_groups(self) -> int:
        return sum(number for number, _ in self.shapes)

    def unpack(self, rows: Tensor) -> Iterator[Tensor]:
        """Each layer's groups [G, K], of a matrix like ``rows``; views of it where possible."""
        start, width = 0, rows.shape[1]
        for number, size in self.shapes:
            end = start + number * _pieces(size, width)
            yield rows[start:end].view(number, -1)[:, :size]
            start = end


def pack(layers: Sequence[Tensor], cut: bool) -> list[Packed]:
    """Packs the groups of layers by width.

    Args:
        layers: float32 [G, K] each, on one device, K >= 1.
        cut: groups may be cut into several rows; otherwise those above the largest of
            ``WIDTHS`` are packed with their like.
    """
    classes: dict[int, list[int]] = {}
    for index, groups in enumerate(layers):
        size = groups.shape[1]
        width = next((each for each in WIDTHS if size <= each), WIDTHS[-1] if cut else size)
        classes.setdefault(width, []).append(index)
    return [_packed([(i, layers[i]) for i in found], width) for width, found in classes.items()]


def _packed(layers: Sequence[tuple[int, Tensor]], width: int) -> Packed:
    shapes = tuple((groups.shape[0], groups.shape[1]) for _, groups in layers)
    one = layers[0][1]
    group = _group_of_rows(shapes, width, one.device)
    rows = one.new_zeros(len(group), width)
    packed = Packed([index for index, _ in layers], rows, group, shapes)
    for (_, groups), place in zip(layers, packed.unpack(rows), strict=True):
        place.copy_(groups)
    return packed


@functools.lru_cache(maxsize=64)  # the same in every step of a training
def _group_of_rows(shapes: Shapes, width: int, device: torch.device) -> Tensor:
    pieces = [pieces for number, size in shapes for pieces in [_pieces(size, width)] * number]
    with torch.inference_mode(False):
        return torch.repeat_interleave(torch.tensor(pieces)).to(device)


def _pieces(size: int, width: int) -> int:
    return -(-size // width)
