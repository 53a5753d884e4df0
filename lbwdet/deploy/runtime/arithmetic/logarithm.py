"""The float64 logarithm that every engine computes alike."""

import numpy as np

from lbwdet.deploy.runtime.context import Array

TERMS = 14


def log(x: Array) -> Array:
    """``ln(x)`` of finite ``x > 0``, to about 1e-16 of itself.

    With ``x = m * 2**k``, m from 0.75 to 1.5, ``s = (m - 1) / (m + 1)`` and ``q = s * s``, the
    series is summed from its end, ``p = 0;  for n = 14 .. 0:  p = p * q + 1 / (2n + 1)``, and the
    result is ``k * 0.6931471805599453 + 2 * s * p``.
    """
    m, k = np.frexp(np.asarray(x, np.float64))
    small = m < 0.75
    m, k = np.where(small, m * 2, m), k - small
    s = (m - 1) / (m + 1)
    q, p = s * s, np.zeros_like(m)
    for n in range(TERMS, -1, -1):
        p = p * q + 1 / (2 * n + 1)
    return np.asarray(k * 0.6931471805599453 + 2 * s * p)
