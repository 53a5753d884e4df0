"""Box coders: from what a network predicts for a prior to a box, in float32 as written.

``exp`` is f32 of this float64 sequence, so that every engine has the same one::

    k = rint(x * 1.4426950408889634);  r = x - k * 0.6931471805599453
    p = 1;  for n = 13 down to 1:  p = 1 + p * r / n
    exp = p * 2**k
"""

import math
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.arithmetic.boxes import exp, sigmoid, softmax
from lbwdet.deploy.runtime.declaration import Range
from lbwdet.deploy.runtime.record import dataclass

Array = NDArray[Any]
Four = tuple[float, float, float, float]

_HALF = np.float32(0.5)
_LARGEST_EXPONENT = 40.0  # of distances: far outside of every image, and its square is a float32
_LEAST_EXPONENT = -700.0  # its exponential is 0 in float32


@dataclass(frozen=True)
class DeltaCoder:
    """Moves and stretches the prior.

    ``d = delta * std + mean`` (each of dx, dy, dw, dh); dw and dh clamped to
    ``±f32(abs(log(max_ratio)))``; with ``pw = x2 - x1, px = (x1 + x2) * 0.5`` (and
    for y alike)::

        gx = px + pw * dx          gw = pw * exp(dw)
        x1 = gx - gw * 0.5         x2 = gx + gw * 0.5

    clamped to 0 .. width (height) of the image, see ``Preprocess``, if ``clip``. With a
    ``max_shift`` above 0, ``pw * dx`` is clamped to ``±max_shift`` pixels, and dw is not limited
    below (it is clamped to -700, whose exponential is 0). With ``end_pixels``, a box has its last
    pixel: ``pw = x2 - x1 + 1``, and it is clamped to ``width - 1``. With ``in_cell`` the middle
    stays in the prior's cell, as in YOLO (arXiv 1804.02767): ``(sigmoid(dx) - 0.5) * stride`` is in
    the place of ``pw * dx``, with the ``sigmoid`` of ``Candidates`` and the stride of the prior's
    level (1 of boxes that belong to none).
    """

    numbers: ClassVar[int] = 4

    means: Annotated[Four, Range(-1e6, 1e6)]
    stds: Annotated[Four, Range(1e-6, 1e6)]
    max_ratio: Annotated[float, Range(1e-6, 1e6)]
    clip: bool = True
    max_shift: Annotated[float, Range(0, 1e6)] = 0.0
    end_pixels: bool = False
    in_cell: bool = False

    def decode(
        self, boxes: Array, deltas: Array, height: int, width: int, stride: int = 1
    ) -> Array:
        """Boxes float32 [..., 4] from priors and deltas [..., 4] in an image of this size."""
        d = deltas * np.array(self.stds, np.float32) + np.array(self.means, np.float32)
        largest = np.float32(self.max_log_ratio)
        least = np.float32(_LEAST_EXPONENT) if self.max_shift else -largest
        extra = np.float32(self.end_pixels)
        sides = []
        for axis, length in ((0, width), (1, height)):
            first, second = boxes[..., axis], boxes[..., axis + 2]
            size, center = (second - first) + extra, (first + second) * _HALF
            stretch = exp(np.clip(d[..., axis + 2], least, largest)).astype(np.float32)
            shift = size * d[..., axis]
            if self.in_cell:
                shift = (sigmoid(d[..., axis]) - _HALF) * np.float32(stride)
            if self.max_shift:
                shift = np.clip(shift, -np.float32(self.max_shift), np.float32(self.max_shift))
            center, half = center + shift, (size * stretch) * _HALF
            last = np.float32(length) - extra if self.clip else None
            sides.append(_clipped((center - half, center + half), last))
        (x1, x2), (y1, y2) = sides
        return np.stack([x1, y1, x2, y2], -1)

    @property
    def max_log_ratio(self) -> float:
        """Largest change of a side's logarithm."""
        return abs(math.log(self.max_ratio))

    def constants(self, name: str = "coder") -> dict[str, float]:
        """Numbers for the native engine besides the fields; ``name`` is that of the coder."""
        return {f"{name}.max_log_ratio": self.max_log_ratio}


@dataclass(frozen=True)
class DistanceCoder:
    """Sides at distances from the prior's middle, in units of ``scale`` pixels.

    With ``px = (x1 + x2) * 0.5`` of the prior (and for y alike) and the distances l, t, r, b::

        x1 = px - l * scale        x2 = px + r * scale

    clamped as in :class:`DeltaCoder`, if ``clip``, but to ``f32(width) - f32(inset)``.

    Attributes:
        exponential: distances are ``f32(exp(min(max(x, -700), 40)))`` of what is predicted.
        bins: if more than one, a distance is the mean of a distribution over 0, 1, .. bins - 1,
            whose ``bins`` logits are predicted: their softmax in float64, rounded to f32, as in
            ``Candidates``; its products with the bin's number, summed in order in float32.
        of_prior: distances are multiplied, after the scale, by the prior's width (height).
        vertical_first: the order is t, b, l, r instead of l, t, r, b.
    """

    scale: Annotated[float, Range(1e-6, 1e6)] = 1.0
    clip: bool = True
    inset: Annotated[float, Range(0, 1)] = 0.0
    exponential: bool = False
    bins: Annotated[int, Range(1, 256)] = 1
    of_prior: bool = False
    vertical_first: bool = False

    def decode(
        self, boxes: Array, deltas: Array, height: int, width: int, stride: int = 1
    ) -> Array:
        """Boxes float32 [..., 4] from priors and what is predicted [..., numbers]."""
        distances = self._distances(deltas) * np.float32(self.scale)
        sides = []
        for axis, length in ((0, width), (1, height)):
            first, second = boxes[..., axis], boxes[..., axis + 2]
            before, after = (distances[..., column] for column in self._columns(axis))
            if self.of_prior:
                before, after = before * (second - first), after * (second - first)
            center = (first + second) * _HALF
            last = np.float32(length) - np.float32(self.inset) if self.clip else None
            sides.append(_clipped((center - before, center + after), last))
        (x1, x2), (y1, y2) = sides
        return np.stack([x1, y1, x2, y2], -1)

    def _distances(self, predicted: Array) -> Array:
        """float32 [..., 4], in the order in which they are predicted."""
        if self.bins > 1:
            shares = softmax(predicted.reshape(-1, self.bins))
            mean = np.zeros(len(shares), np.float32)
            for number, share in enumerate(shares.T):
                mean = mean + share * np.float32(number)
            predicted = mean.reshape(*predicted.shape[:-1], 4)
        if not self.exponential:
            return predicted
        powers = exp(np.clip(predicted, _LEAST_EXPONENT, _LARGEST_EXPONENT))
        return np.asarray(powers.astype(np.float32))

    def _columns(self, axis: int) -> tuple[int, int]:
        """Where the distances before and after the middle are."""
        return (2 - 2 * axis, 3 - 2 * axis) if self.vertical_first else (axis, axis + 2)

    @property
    def numbers(self) -> int:
        """That are predicted for a prior."""
        return 4 * self.bins

    def constants(self) -> dict[str, float]:
        """Numbers for the native engine besides the fields."""
        return {}


@dataclass(frozen=True)
class TwiceCoder:
    """One :class:`DeltaCoder` after the other: the boxes of the first are the second's priors.

    Of the eight numbers, the first four are the first one's.
    """

    numbers: ClassVar[int] = 8

    first: DeltaCoder
    second: DeltaCoder

    def decode(
        self, boxes: Array, deltas: Array, height: int, width: int, stride: int = 1
    ) -> Array:
        """Boxes float32 [..., 4] from priors and what is predicted [..., 8]."""
        priors = self.first.decode(boxes, deltas[..., :4], height, width, stride)
        return self.second.decode(priors, deltas[..., 4:], height, width, stride)

    @property
    def clip(self) -> bool:
        """Whether boxes end at the borders of the image."""
        return self.second.clip

    def constants(self) -> dict[str, float]:
        """Numbers for the native engine besides the fields."""
        return self.first.constants("coder.first") | self.second.constants("coder.second")


Coder = DeltaCoder | DistanceCoder | TwiceCoder


def random_coder(random: "np.random.Generator") -> Coder:
    """One with random settings, for cases."""
    clip, coin = bool(random.integers(2)), [bool(bit) for bit in random.integers(0, 2, 3)]
    kind = int(random.integers(3))
    if kind < 2:
        shift = 6.0 if coin[0] else 0.0
        coder = DeltaCoder(
            (0.0, 0.1, 0.0, 0.0), (1.0,) * 4, 16 / 1000, clip, shift, coin[1], in_cell=coin[2]
        )
        guide = DeltaCoder((0.0,) * 4, (0.5,) * 4, 1e-6, clip=coin[2])
        return coder if kind == 0 else TwiceCoder(guide, coder)
    return DistanceCoder(
        scale=float(random.choice([0.25, 8.0])),
        clip=clip,
        inset=float(random.integers(2)),
        exponential=coin[0],
        bins=int(random.choice([1, 1, 5])),
        of_prior=coin[1],
        vertical_first=coin[2],
    )


def _clipped(sides: tuple[Array, Array], last: np.float32 | None) -> list[Array]:
    if last is None:
        return list(sides)
    return [np.clip(side, np.float32(0), last) for side in sides]
