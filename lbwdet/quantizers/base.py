"""What every weight quantizer gives and obeys."""

import dataclasses
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lbwdet.errors import ConfigError, LBWError
from lbwdet.quantizers.float_bits import exp2, floor_log2
from lbwdet.quantizers.levels import BIT_WIDTHS, magnitudes, num_magnitudes
from lbwdet.quantizers.packing import Arrangement, Packed

GRANULARITIES = ("tensor", "channel")


class NonFiniteWeightError(LBWError, ValueError):
    """A weight to be quantized is NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class QuantizedWeight:
    """A weight as integers: ``value = sign(code) * scale * 2**(|code| - n)``, 0 for code 0.

    Of the code ``'two-term'`` the value is ``sign(code) * scale * m[|code|]`` with the
    magnitudes ``m[1] .. m[n] = 1`` of :func:`lbwdet.quantizers.levels.magnitudes`.

    Attributes:
        codes: int8, the weight's shape. ``±n`` is the top level, ``±1`` the lowest.
        scale: float32, the value of the top level, broadcastable to ``codes``: a
            scalar, or one entry per channel. A power of two except at one bit.
        bit_width: bits that one code takes when packed.
        num_magnitudes: ``n``.
        code: which levels the codes stand for.

    >>> q = QuantizedWeight(torch.tensor([3, -1, 0]).to(torch.int8), torch.tensor(0.5), 3, 3)
    >>> q.dequantize()
    tensor([ 0.5000, -0.1250,  0.0000])
    """

    codes: Tensor
    scale: Tensor
    bit_width: int
    num_magnitudes: int
    code: str = "paper"

    def dequantize(self) -> Tensor:
        """The float32 weights, exactly those that training used."""
        if self.code == "two-term":
            table = self.scale.new_tensor([0.0, *magnitudes(self.bit_width, self.code)])
            return table[self.codes.abs().long()] * self.codes.sign() * self.scale
        octave = exp2(self.codes.abs().to(torch.int32) - self.num_magnitudes)
        value = (self.scale * octave * self.codes.sign()).to(torch.float32)
        return torch.where(self.codes == 0, 0.0, value)

    @property
    def scale_exponent(self) -> Tensor:
        """The integer ``s`` of the top level ``2**s``; at one bit, floor(log2(scale))."""
        return floor_log2(self.scale)


class WeightQuantizer(ABC):
    """Projects a float weight onto the levels of one layer or of each channel.

    Args:
        bit_width: 1 to 8.
        code: ``'paper'`` or ``'dense'``, see :mod:`lbwdet.quantizers.levels`.
        granularity: one scale exponent per ``'tensor'`` or per ``'channel'``.

    A quantizer has no state: the same weight always gives the same codes. Its
    input is never changed.
    """

    solver: str
    codes: tuple[str, ...] = ("paper", "dense")
    packs = False  # whether it has search
    recorded_values = 1 << 28  # of all layers, up to which a recorded search keeps its memory

    def __init__(self, bit_width: int, code: str = "paper", granularity: str = "tensor") -> None:
        if granularity not in GRANULARITIES:
            raise ConfigError(
                f"granularity={granularity!r} is not known; "
                f"choose one of {', '.join(GRANULARITIES)}"
            )
        if bit_width not in BIT_WIDTHS:
            raise ConfigError(
                f"bit_width={bit_width!r}: a quantizer has 1 to {BIT_WIDTHS[-1]} bits"
            )
        self.num_magnitudes = num_magnitudes(bit_width, code)
        if code not in self.codes:
            raise ConfigError(
                f"solver={self.solver!r} does not know code={code!r}; use solver='exact'"
            )
        self.bit_width = bit_width
        self.code = code
        self.granularity = granularity

    @property
    def magnitudes(self) -> Tensor:
        """The magnitudes of a group whose top level is 1: float32 [n], ascending."""
        return torch.tensor(magnitudes(self.bit_width, self.code))

    @property
    def options(self) -> dict[str, Any]:
        """Further arguments of the constructor, those of the solver alone."""
        return {}

    @abstractmethod
    def scale(self, groups: Tensor) -> Tensor:
        """The top level of each group.

        Args:
            groups: float32 [G, K], contiguous, finite, K >= 1.

        Returns:
            float32 [G]; 1.0 for a group without any weight of use (all zero).
        """

    @abstractmethod
    def assign(self, groups: Tensor, scale: Tensor) -> Tensor:
        """The level of each weight, as float32 [G, K], for the given top levels [G]."""

    def search(
        self, packed: Packed, peak: float = math.inf
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """As :meth:`scale`, of all groups in ``packed``, in stages that wait for no GPU.

        Each yields the scales, float32 [G], and how many of them may still change, int64 []: those
        after which none is left are the result. None where the first stage is the last. Zeros
        behind a group's weights change nothing; what is not finite gives any scale.

        Args:
            peak: no magnitude is above it; knowing it saves work.
        """
        raise NotImplementedError

    def assign_packed(self, packed: Packed, scale: Tensor) -> Tensor:
        """As :meth:`assign`, of all rows of ``packed``, for the top levels [G] of its groups."""
        return self.assign(packed.rows, scale.index_select(0, packed.layout.group))

    @functools.cached_property
    def settings(self) -> tuple[Any, ...]:
        """Equal for quantizers that do the same."""
        return type(self), *vars(self).values()

    @torch.no_grad()
    def arrange(self, weights: Sequence[Tensor], channel_axes: Sequence[int]) -> Arrangement | None:
        """How :meth:`fake_quantize_all` lays them out, as long as their memory stays where it is.

        None if it projects them one by one.
        """
        if not self.packs or not all(weight.numel() for weight in weights):
            return None
        whole = self.granularity == "tensor"
        return Arrangement(weights, [None] * len(weights) if whole else channel_axes)

    @torch.no_grad()
    def fake_quantize_all(
        self,
        weights: Sequence[Tensor],
        names: Sequence[str],
        channel_axes: Sequence[int],
        arrangement: Arrangement | None = None,
    ) -> list[Tensor]:
        """Of several weights of one type and device what :meth:`fake_quantize` gives for each.

        In so few operations that a GPU does not wait for the next one; for a processor there
        is nothing to gain.

        Args:
            weights, names, channel_axes: as for :meth:`fake_quantize`, of each.
            arrangement: of these weights; made here if it is not given.

        Raises:
            NonFiniteWeightError: a weight holds NaN or infinity.
        """
        arrangement = arrangement or self.arrange(weights, channel_axes)
        if arrangement is None:
            each = zip(weights, names, channel_axes, strict=True)
            return [self.fake_quantize(*one) for one in each]
        packed = arrangement.pack()
        peak = packed.peak().item()
        if not math.isfinite(peak):
            for weight, name, axis in zip(weights, names, channel_axes, strict=True):
                self._checked_scale(self._groups(weight, axis), name)  # says which one it is
        scale = next(scale for scale, left in self.search(packed, peak) if left is None or not left)
        return arrangement.unpack(self.assign_packed(packed, scale))

    def fake_quantize(self, weight: Tensor, name: str = "", channel_axis: int = 0) -> Tensor:
        """The nearest weights that ``bit_width`` bits can store, in the weight's dtype.

        Args:
            weight: float tensor of any shape.
            name: the layer's name, for error messages.
            channel_axis: axis of the channels if the granularity is ``'channel'``.

        Raises:
            NonFiniteWeightError: the weight holds NaN or infinity.
        """
        groups = self._groups(weight, channel_axis)
        if groups.numel() == 0:
            return weight.detach().clone()
        scale = self._checked_scale(groups, name)
        return self._ungroup(self.assign(groups, scale), weight, channel_axis).to(weight.dtype)

    def quantize(self, weight: Tensor, name: str = "", channel_axis: int = 0) -> QuantizedWeight:
        """The same projection as integer codes; arguments as in :meth:`fake_quantize`."""
        groups = self._groups(weight, channel_axis)
        if groups.numel() == 0:
            scale, levels = groups.new_ones(groups.shape[0]), groups
        else:
            scale = self._checked_scale(groups, name)
            levels = self.assign(groups, scale)
        codes = self._ungroup(self._encode(levels, scale), weight, channel_axis)
        if self._per_channel(weight):
            shape = [1] * weight.dim()
            shape[channel_axis] = -1
            scale = scale.reshape(shape)
        else:
            scale = scale.reshape(())
        return QuantizedWeight(codes, scale, self.bit_width, self.num_magnitudes, self.code)

    def _encode(self, levels: Tensor, scale: Tensor) -> Tensor:
        octave = floor_log2(levels) - floor_log2(scale)[:, None]
        codes = levels.sign().to(torch.int32) * (octave + self.num_magnitudes)
        return codes.to(torch.int8)

    def _per_channel(self, weight: Tensor) -> bool:
        return self.granularity == "channel" and weight.dim() > 0

    def _groups(self, weight: Tensor, channel_axis: int) -> Tensor:
        weight = weight.detach().to(torch.float32)
        if self._per_channel(weight):
            moved = weight.movedim(channel_axis, 0)
            return moved.reshape(moved.shape[0], math.prod(moved.shape[1:])).contiguous()
        return weight.reshape(1, -1).contiguous()

    def _ungroup(self, groups: Tensor, weight: Tensor, channel_axis: int) -> Tensor:
        if self._per_channel(weight):
            moved = weight.movedim(channel_axis, 0).shape
            return groups.reshape(moved).movedim(0, channel_axis)
        return groups.reshape(weight.shape)

    def _checked_scale(self, groups: Tensor, name: str) -> Tensor:
        try:
            return self.scale(groups)
        except NonFiniteWeightError as error:
            bad = (~torch.isfinite(groups)).sum().item()
            raise NonFiniteWeightError(
                f"{name or 'weight'}: {bad} of {groups.numel()} weights are NaN or infinite and "
                "cannot be quantized. The training diverged or the checkpoint is damaged: "
                "lower the learning rate, clip gradients, or go back to an earlier checkpoint."
            ) from error

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(bit_width={self.bit_width}, code={self.code!r}, "
            f"solver={self.solver!r}, granularity={self.granularity!r})"
        )


def check_finite(value: Tensor) -> None:
    """Raises NonFiniteWeightError if a reduction of the weights shows NaN or infinity."""
    if not bool(torch.isfinite(value).all()):
        raise NonFiniteWeightError("not finite")
