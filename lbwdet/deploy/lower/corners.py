"""Maps that end inside of a patch: pixels that are added at their right and their bottom.

How many depends on the size of the image, of which a program knows only whose multiple it is.
"""

import contextlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from mmdet.models.layers import AdaptivePadding
from torch import Tensor
from torch.nn import functional as F

from lbwdet.deploy.runtime.shapes import Side

_FORWARD = AdaptivePadding.forward


@contextlib.contextmanager
def whole_patches(sides: Sequence[Side], sizes: Sequence[int]) -> Iterator[None]:
    """Inside the block ``AdaptivePadding`` adds as much as the image that needs most.

    Patches of k pixels are then ``(x + k - 1) // k``, as many as MMDetection has: of x pixels and
    those that it adds, the ones beyond the last patch are read by nobody. Where the sides of every
    image make whole patches nothing is added.

    Args:
        sides: height and width of the network's input.
        sizes: those of an image that it is traced with.
    """

    def forward(module: Any, x: Tensor) -> Any:
        corner = module.padding == "corner" and tuple(module.dilation) == (1, 1)
        if not corner or tuple(module.kernel_size) != tuple(module.stride):
            return _FORWARD(module, x)
        bottom, right = (
            patch - 1 if _ends_inside(side, Fraction(pixels, size), pixels, patch) else 0
            for side, size, pixels, patch in zip(
                sides, sizes, x.shape[2:], module.kernel_size, strict=True
            )
        )
        return F.pad(x, [0, right, 0, bottom]) if bottom or right else x

    AdaptivePadding.forward = forward
    try:
        yield
    finally:
        AdaptivePadding.forward = _FORWARD


def _ends_inside(side: Side, share: Fraction, pixels: int, patch: int) -> bool:
    """Whether a map may end inside of a patch.

    Args:
        side: of the network's input.
        share: of its pixels that the map has.
        pixels: of the map, where it is traced.
        patch: pixels of a patch.
    """
    if not side.factor:
        return pixels % patch != 0
    return any((share * part / patch).denominator != 1 for part in (side.factor, side.offset))
