"""A layer as a matrix: its weight as rows, what it reads as columns.

Every layer whose output is linear in its weight is ``y = W x`` at each position of its
output: ``W`` of [G, R, d] holds the rows of each of G groups, and the columns [G, d, P]
what the input brings to P positions. A convolution's are its patches, a linear layer's its
tokens. Only some positions are looked at, evenly spaced ones, the same for equal shapes.
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from lbwdet.layers.shadow import shadow

_TRIED = 64  # positions of a call at which a layer is held against its matrix


class Matrix(ABC):
    """How one kind of layer is a matrix.

    Rows are the channels of the output, group by group.

    Args:
        layer: of the network whose columns are asked for.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    @property
    def stored(self) -> Tensor:
        """The parameter that holds the weight, detached: what is written to it stays."""
        weight: Tensor = self.layer.weight
        return weight.detach()

    @property
    def bias(self) -> Tensor | None:
        """Likewise of the bias, if there is one: one value for each row, group by group."""
        bias: Tensor | None = getattr(self.layer, "bias", None)
        return None if bias is None else bias.detach()

    @abstractmethod
    def rows(self, weight: Tensor) -> Tensor:
        """The layer's weight, or another tensor of its shape, as [G, R, d]."""

    @abstractmethod
    def weight(self, rows: Tensor) -> Tensor:
        """The inverse of :meth:`rows`."""

    @abstractmethod
    def columns(self, args: tuple[Any, ...], most: int) -> Tensor:
        """At most about ``most`` columns of the layer's input: float32 [G, d, P]."""


class SeenMatrix(Matrix):
    """A matrix whose rows times columns are what the layer gives, so that it can be tried."""

    @abstractmethod
    def outputs(self, output: Any, most: int) -> Tensor:
        """The layer's output at the positions of :meth:`columns`: [G, R, P]."""


def positions(number: int, most: int) -> Tensor:
    """At most ``most`` of ``number`` positions, evenly spaced, but not in step with rows."""
    if number <= most:
        return torch.arange(number)
    # The golden ratio's multiples fall evenly into any interval, and into that of each column.
    spread = torch.arange(most, dtype=torch.float64) * (math.sqrt(5) - 1) / 2
    return ((spread - spread.floor()) * number).long()


class LinearMatrix(SeenMatrix):
    """``nn.Linear``: tokens of any number of leading axes."""

    def rows(self, weight: Tensor) -> Tensor:
        return weight[None]

    def weight(self, rows: Tensor) -> Tensor:
        return rows[0]

    def columns(self, args: tuple[Any, ...], most: int) -> Tensor:
        return self._tokens(args[0], most)

    def outputs(self, output: Any, most: int) -> Tensor:
        return self._tokens(output, most)

    def _tokens(self, x: Tensor, most: int) -> Tensor:
        tokens = x.reshape(-1, x.shape[-1])
        return tokens[positions(len(tokens), most)].T[None].float()


class ConvolutionMatrix(SeenMatrix):
    """Convolutions of one to three dimensions: groups, dilation, stride, any padding."""

    layer: _ConvNd

    def rows(self, weight: Tensor) -> Tensor:
        return weight.reshape(self.layer.groups, -1, math.prod(weight.shape[1:]))

    def weight(self, rows: Tensor) -> Tensor:
        return rows.reshape(self.layer.weight.shape)

    def columns(self, args: tuple[Any, ...], most: int) -> Tensor:
        layer = self.layer
        return _patches(
            self._padded(self._batched(args[0])),
            layer.kernel_size,
            layer.stride,
            layer.dilation,
            layer.groups,
            most,
        )

    def outputs(self, output: Any, most: int) -> Tensor:
        output = self._batched(output)
        assert isinstance(output, Tensor)
        channels, shape = output.shape[1], output.shape[2:]
        chosen = positions(output.shape[0] * math.prod(shape), most)
        values = output.movedim(1, 0).reshape(channels, -1)[:, chosen]
        chosen_values: Tensor = values.reshape(self.layer.groups, -1, values.shape[1])
        return chosen_values.float()

    def _batched(self, x: Tensor) -> Tensor:
        return x if x.dim() == self.layer.weight.dim() else x[None]

    def _padded(self, x: Tensor) -> Tensor:
        layer = self.layer
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        if mode == "constant" and not isinstance(layer.padding, str):
            pads = [size for size in reversed(layer.padding) for _ in range(2)]
        else:
            pads = list(layer._reversed_padding_repeated_twice)
        return F.pad(x, pads, mode=mode) if any(pads) else x


class TransposedMatrix(ConvolutionMatrix):
    """Transposed convolutions: the convolution of an input with zeros between its values.

    Of ``s - 1`` zeros for stride ``s``, with the kernel turned around.
    """

    layer: _ConvTransposeNd

    def rows(self, weight: Tensor) -> Tensor:
        groups, kernel = self.layer.groups, weight.shape[2:]
        turned = weight.flip(list(range(2, weight.dim())))
        turned = turned.reshape(groups, -1, weight.shape[1], *kernel).transpose(1, 2)
        return turned.reshape(groups, weight.shape[1], -1)

    def weight(self, rows: Tensor) -> Tensor:
        inputs, outputs, *kernel = self.layer.weight.shape
        groups = self.layer.groups
        turned = rows.reshape(groups, outputs, inputs // groups, *kernel).transpose(1, 2)
        turned = turned.reshape(inputs, outputs, *kernel)
        whole: Tensor = turned.flip(list(range(2, turned.dim())))
        return whole

    def columns(self, args: tuple[Any, ...], most: int) -> Tensor:
        layer, x = self.layer, self._batched(args[0])
        sizes = [(size - 1) * s + 1 for size, s in zip(x.shape[2:], layer.stride, strict=True)]
        spread = x.new_zeros(*x.shape[:2], *sizes)
        places: Any = (..., *(slice(None, None, s) for s in layer.stride))
        spread[places] = x
        assert not isinstance(layer.padding, str)
        pads: list[int] = []
        for axis in reversed(range(len(sizes))):
            reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            first = reach - layer.padding[axis]
            pads += [first, first + layer.output_padding[axis]]
        spread = F.pad(spread, pads)  # of negative numbers it cuts
        ones = (1,) * len(sizes)
        return _patches(spread, layer.kernel_size, ones, layer.dilation, layer.groups, most)


def _patches(
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    most: int,
) -> Tensor:
    """What a convolution without padding reads for some of its outputs: [G, C / G * taps, P]."""
    x = x.movedim(1, 0).float()  # channels, images, positions
    channels, batch, *sizes = x.shape
    counts = [
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)
    ]
    rest = positions(batch * math.prod(counts), most)
    corner, taps, step = torch.zeros_like(rest), torch.zeros(1, dtype=torch.long), 1
    offsets: list[Tensor] = []
    for size, count, k, s, d in reversed(
        list(zip(sizes, counts, kernel, stride, dilation, strict=True))
    ):
        corner = corner + rest % count * s * step
        offsets.insert(0, torch.arange(k) * d * step)
        rest, step = rest // count, step * size
    for offset in offsets:
        taps = (taps[:, None] + offset).reshape(-1)
    corner = corner + rest * step
    index = (taps[:, None] + corner).to(x.device)
    patches = x.reshape(channels, -1)[:, index]  # [C, taps, P]
    return patches.reshape(groups, -1, index.shape[1])


class ProbedMatrix(ConvolutionMatrix):
    """Layers with a convolution's weight and a ``forward`` of their own, such as deformable ones.

    Asked with the identity as its weight, such a layer gives what it reads.
    """

    def columns(self, args: tuple[Any, ...], most: int) -> Tensor:
        layer: Any = self.layer
        weight: Tensor = layer.weight
        size = math.prod(weight.shape[1:])
        probe = torch.eye(size, dtype=weight.dtype, device=weight.device)
        probe = probe.repeat(layer.groups, 1).reshape(-1, *weight.shape[1:])
        read: Tensor = shadow(layer, dict(weight=probe, bias=None)).forward(*args)
        channels = read.shape[1]
        chosen = positions(read.shape[0] * math.prod(read.shape[2:]), most)
        values = read.movedim(1, 0).reshape(channels, -1)[:, chosen]
        return values.reshape(layer.groups, size, -1).float()


def matrix_of(layer: Any, args: tuple[Any, ...], output: Any) -> Matrix | None:
    """The layer as a matrix, tried on a call of it; None if it is none.

    That the rows times the columns *are* the output is looked at, not assumed: subclasses
    of convolutions may do anything to their input or their weight.
    """
    matrices = (kind(layer) for kind in _kinds(layer))
    return next((matrix for matrix in matrices if gives(matrix, args, output)), None)


def gives(matrix: SeenMatrix, args: tuple[Any, ...], output: Any) -> bool:
    """Whether rows times columns are this call's output, at some positions."""
    try:
        columns, found = matrix.columns(args, _TRIED), matrix.outputs(output, _TRIED)
        wanted = matrix.rows(matrix.stored).float() @ columns
        if matrix.bias is not None:
            wanted = wanted + matrix.bias.reshape(len(wanted), -1, 1)
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
        return False  # not of that kind after all
    return wanted.shape == found.shape and torch.allclose(wanted, found, 1e-3, 1e-4)


def _kinds(layer: nn.Module) -> list[type[SeenMatrix]]:
    if isinstance(layer, _ConvTransposeNd):
        return [TransposedMatrix]
    if isinstance(layer, _ConvNd):
        return [ConvolutionMatrix, ProbedMatrix]
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor):
        return []
    return [LinearMatrix] if weight.dim() == 2 else [ProbedMatrix]
