"""Which pixels propose a box, and where; see ``InnerPixels`` and ``ProposalBoxes``."""

import numpy as np

from lbwdet.deploy.runtime.context import Array


def is_inner(height: int, width: int, margin: float) -> Array:
    """bool [height, width]: whose middle is inside of the map by more than the margin.

    Of a side of n pixels, in float32: ``m < p and p < 1 - m``, for a middle ``p = (i + 0.5) / n``.
    """
    y, x = (_inner(side, np.float32(margin)) for side in (height, width))
    return np.asarray(y[:, None] & x)


def _inner(side: int, margin: np.float32) -> Array:
    middle = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    return np.asarray((middle > margin) & (middle < np.float32(1) - margin))
