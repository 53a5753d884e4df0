"""Weights of many layers one after the other in one tensor, so that few operations treat them all.

On a GPU an operation takes its microseconds however small it is, and a projection is some
seventy of them: for each of a hundred layers that is a third of a training step.
"""

import dataclasses
import functools
from collections.abc import Sequence

import torch
from torch import Tensor

ROW = 4096  # values of a long group that are added up, or counted, in one place
ALIGNED = 64  # values, 256 bytes: kernels are fastest where a weight starts at a multiple


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """Where each layer lies; the same in every step of a training.

    Attributes:
        width: values of a row: 1, or ``ROW`` if each layer is a single group.
        starts: the first value of each layer.
        zeros: behind each layer, up to where the next one starts, if there is a gap.
        lengths: int64 [G], rows of each group; the last group of a layer has its zeros.
        bounds: int64 [G], the first row of each group.
        num_rows: of all groups.
    """

    width: int
    starts: tuple[int, ...]
    zeros: tuple[Tensor | None, ...]
    lengths: Tensor
    bounds: Tensor
    num_rows: int
    _repeated: dict[int, Tensor] = dataclasses.field(default_factory=dict, repr=False)

    @functools.cached_property
    def group(self) -> Tensor:
        """int64 [R], the group of each row, counted through the layers."""
        with torch.inference_mode(False):
            number = torch.arange(len(self.lengths), device=self.lengths.device)
            return number.repeat_interleave(self.lengths, output_size=self.num_rows)

    def bounds_of(self, times: int) -> Tensor:
        """Where the groups begin, and the last one ends, if all follow each other ``times``."""
        if times not in self._repeated:
            with torch.inference_mode(False):
                copies = torch.arange(times, device=self.bounds.device)[:, None] * self.num_rows
                bounds = (copies + self.bounds).view(-1)
                end = bounds.new_full((1,), times * self.num_rows)
                self._repeated[times] = torch.cat([bounds, end])
        return self._repeated[times]


@dataclasses.dataclass(frozen=True)
class Packed:
    """The groups of several layers.

    Attributes:
        rows: float32 [R, width].
        layout: which of them are whose.
    """

    rows: Tensor
    layout: Layout

    @property
    def num_groups(self) -> int:
        return len(self.layout.lengths)

    def peak(self) -> Tensor:
        """float32 scalar, the largest magnitude; not finite if any weight is not."""
        peak: Tensor = torch.linalg.vector_norm(self.rows, torch.inf)
        return peak

    def sums(self, rows: Tensor) -> Tensor:
        """[..., G], the sum of each group in [..., R, width], always in the same order."""
        each = rows.sum(-1) if self.layout.width > 1 else rows.squeeze(-1)
        return self._reduce(each, "sum")

    def largest(self, rows: Tensor) -> Tensor:
        """[G], the maximum of each group in [R, width]."""
        return self._reduce(rows.amax(-1), "max")

    def _reduce(self, values: Tensor, how: str) -> Tensor:
        bounds = self.layout.bounds_of(values.numel() // self.layout.num_rows)
        # unsafe: no checks of the bounds, for which a GPU would have to be waited for
        reduced = torch.segment_reduce(values.reshape(-1), how, offsets=bounds, unsafe=True)
        return reduced.view(*values.shape[:-1], -1)


class Arrangement:
    """Weights, and where each of them lies in a packed tensor; reads what they hold when it packs.

    Args:
        weights: of one dtype and device, none empty.
        channel_axes: the axis of each weight's groups; None: it is a single one.
    """

    def __init__(self, weights: Sequence[Tensor], channel_axes: Sequence[int | None]) -> None:
        self.dtype, self.device = weights[0].dtype, weights[0].device
        self._copied: list[tuple[int, Tensor, int]] = []
        self._parts: list[Tensor] = []
        self._places: list[tuple[torch.Size, tuple[int, ...], int, int]] = []
        axes = [
            axis if weight.dim() else None
            for weight, axis in zip(weights, channel_axes, strict=True)
        ]
        numbers = tuple(
            1 if axis is None else weight.shape[axis]
            for weight, axis in zip(weights, axes, strict=True)
        )
        sizes = tuple(weight.numel() for weight in weights)
        self.layout = _layout(sizes, numbers, self.dtype, self.device)
        each = zip(weights, axes, self.layout.starts, self.layout.zeros, strict=True)
        for weight, channel_axis, start, zeros in each:
            axis = channel_axis or 0
            dense = _dense(weight, axis)
            if dense is not weight:
                self._copied.append((len(self._parts), weight, axis))
            self._parts.append(_values(dense))
            if zeros is not None:
                self._parts.append(zeros)
            self._places.append((dense.shape, dense.stride(), start, axis))

    def pack(self) -> Packed:
        for index, weight, axis in self._copied:
            self._parts[index] = _values(_dense(weight, axis))
        rows = torch.cat(self._parts).to(torch.float32)
        return Packed(rows.view(-1, self.layout.width), self.layout)

    def unpack(self, rows: Tensor) -> list[Tensor]:
        """What rows like those of ``pack()`` hold of each weight, in its shape and dtype: views.

        They have their weights' strides, unless those leave gaps.
        """
        rows = rows.to(self.dtype)
        views = [rows.as_strided(*place[:3]) for place in self._places]
        for index, (*_, axis) in enumerate(self._places):
            if axis:
                views[index] = views[index].movedim(0, axis)
        return views


def _dense(weight: Tensor, channel_axis: int) -> Tensor:
    """The weight, or a copy, with its channels first and no gaps between them in memory."""
    if channel_axis == 0:
        if weight.is_contiguous():
            return weight
        if weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last):
            return weight
    return weight.movedim(channel_axis, 0).contiguous()


def _values(dense: Tensor) -> Tensor:
    return dense.as_strided((dense.numel(),), (1,))


@functools.lru_cache(maxsize=64)
def _layout(
    sizes: tuple[int, ...], numbers: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Layout:
    width = ROW if all(number == 1 for number in numbers) else 1
    step = max(width, ALIGNED)
    starts, gaps, lengths, end = [], [], [], 0
    for size, number in zip(sizes, numbers, strict=True):
        starts.append(end)
        gaps.append(-size % step)
        end += size + gaps[-1]
        lengths += [size // number] * (number - 1)
        lengths.append((size // number + gaps[-1]) // width)
    with torch.inference_mode(False):
        zeros = torch.zeros(step, dtype=dtype, device=device)
        rows = torch.tensor(lengths)
        return Layout(
            width=width,
            starts=tuple(starts),
            zeros=tuple(zeros[:gap] if gap else None for gap in gaps),
            lengths=rows.to(device),
            bounds=(rows.cumsum(0) - rows).to(device),
            num_rows=end // width,
        )
