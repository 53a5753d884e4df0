"""What the pixels of a mask say of the object: see ``Detections``."""

import numpy as np

from lbwdet.deploy.runtime.arithmetic.boxes import sigmoid
from lbwdet.deploy.runtime.context import Array

WHOLE = 2.0**24  # steps of 1 that a probability is rounded to: sums of these are exact


def around(inside: Array) -> Array:
    """The box float32 [4] around a mask, bool [h, w]; zeros around nothing.

    >>> around(np.array([[False, False, False], [False, True, True]])).tolist()
    [1.0, 1.0, 3.0, 2.0]
    """
    ends = []
    for axis in (0, 1):
        places = np.flatnonzero(inside.any(axis))
        ends.append((places[0], places[-1] + 1) if len(places) else (0, 0))
    return np.array(ends, np.float32).T.reshape(4)


def mean_probability(logits: Array) -> np.float32:
    """The mean of the sigmoids of float32 [n], 0 of none."""
    if not len(logits):
        return np.float32(0)
    steps = np.rint(sigmoid(logits).astype(np.float64) * WHOLE)
    return np.float32(steps.sum() / (len(logits) * WHOLE))
