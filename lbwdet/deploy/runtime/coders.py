"""Box coders: from what a network predicts for a prior to a box, in float32 as written.

``exp`` is f32 of this float64 sequence, so that every engine has the same one::

    k = rint(x * 1.4426950408889634);  r = x - k * 0.6931471805599453
    p = 1;  for n = 13 down to 1:  p = 1 + p * r / n
    exp = p * 2**k
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.arithmetic.boxes import exp
from lbwdet.deploy.runtime.declaration import Range

Array = NDArray[Any]
Four = tuple[float, float, float, float]

_HALF = np.float32(0.5)


@dataclass(frozen=True)
class DeltaCoder:
    """Moves and stretches the prior.

    ``d = delta * std + mean`` (each of dx, dy, dw, dh); dw and dh clamped to
    ``±f32(abs(log(max_ratio)))``; with ``pw = x2 - x1, px = (x1 + x2) * 0.5`` (and
    for y alike)::

        gx = px + pw * dx          gw = pw * exp(dw)
        x1 = gx - gw * 0.5         x2 = gx + gw * 0.5

    clamped to 0 .. width (height) of the image, see ``Preprocess``, if ``clip``.
    """

    means: Annotated[Four, Range(-1e6, 1e6)]
    stds: Annotated[Four, Range(1e-6, 1e6)]
    max_ratio: Annotated[float, Range(1e-6, 1e6)]
    clip: bool = True

    def decode(self, boxes: Array, deltas: Array, height: int, width: int) -> Array:
        """Boxes float32 [..., 4] from priors and deltas [..., 4] in an image of this size."""
        d = deltas * np.array(self.stds, np.float32) + np.array(self.means, np.float32)
        largest = np.float32(self.max_log_ratio)
        sides = []
        for axis, length in ((0, width), (1, height)):
            first, second = boxes[..., axis], boxes[..., axis + 2]
            size, center = second - first, (first + second) * _HALF
            stretch = exp(np.clip(d[..., axis + 2], -largest, largest)).astype(np.float32)
            center, half = center + size * d[..., axis], (size * stretch) * _HALF
            sides.append(_clipped((center - half, center + half), length if self.clip else None))
        (x1, x2), (y1, y2) = sides
        return np.stack([x1, y1, x2, y2], -1)

    @property
    def max_log_ratio(self) -> float:
        """Largest change of a side's logarithm."""
        return abs(math.log(self.max_ratio))

    def constants(self) -> dict[str, float]:
        """Numbers for the native engine besides the fields."""
        return {"coder.max_log_ratio": self.max_log_ratio}


@dataclass(frozen=True)
class DistanceCoder:
    """Sides at distances from the prior's middle, in units of ``scale`` pixels.

    With ``px = (x1 + x2) * 0.5`` of the prior (and for y alike) and the distances l, t, r, b::

        x1 = px - l * scale        x2 = px + r * scale

    clamped as in :class:`DeltaCoder`, if ``clip``.
    """

    scale: Annotated[float, Range(1e-6, 1e6)] = 1.0
    clip: bool = True

    def decode(self, boxes: Array, deltas: Array, height: int, width: int) -> Array:
        """Boxes float32 [..., 4] from priors and distances [..., 4] in an image of this size."""
        scale = np.float32(self.scale)
        sides = []
        for axis, length in ((0, width), (1, height)):
            center = (boxes[..., axis] + boxes[..., axis + 2]) * _HALF
            low = center - deltas[..., axis] * scale
            high = center + deltas[..., axis + 2] * scale
            sides.append(_clipped((low, high), length if self.clip else None))
        (x1, x2), (y1, y2) = sides
        return np.stack([x1, y1, x2, y2], -1)

    def constants(self) -> dict[str, float]:
        """Numbers for the native engine besides the fields."""
        return {}


Coder = DeltaCoder | DistanceCoder


def _clipped(sides: tuple[Array, Array], length: int | None) -> list[Array]:
    if length is None:
        return list(sides)
    return [np.clip(side, np.float32(0), np.float32(length)) for side in sides]
