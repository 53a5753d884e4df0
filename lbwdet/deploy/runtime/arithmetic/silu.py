"""SiLU in float32, in an order that every engine keeps: the same bits everywhere."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_POLYNOMIAL = tuple(np.float32(1 / divisor) for divisor in (720, 120, 24, 6, 2))
_ONE, _LIMIT = np.float32(1), np.float32(87)


def silu(t: Array) -> Array:
    """``t / (1 + exp(-t))``, within five units of the last place, in float32 as written::

        a = min(max(-t, -87), 87)
        n = round(a * log2(e))                           # to the nearest, ties to even
        r = (a - n * 0.693359375) - n * -2.12194440e-4
        p = 1/720;  p = p * r + 1/d  for d = 120, 24, 6, 2;  p = p * r + 1;  p = p * r + 1
        silu = t / (1 + p * 2**n)

    Args:
        t: float32, finite.

    >>> silu(np.float32([-9, -1, 0, 1, 100])).round(6).tolist()[2:]
    [0.0, 0.7310590147972107, 100.0]
    """
    a = np.minimum(np.maximum(-t, -_LIMIT), _LIMIT)
    n = np.rint(a * _LOG2_E)
    r = (a - n * _LN2_HIGH) - n * _LN2_LOW
    p: Array = np.full_like(t, _POLYNOMIAL[0])
    for coefficient in (*_POLYNOMIAL[1:], _ONE, _ONE):
        p = np.asarray(p * r + coefficient, np.float32)
    power = ((n.astype(np.int32) + 127) << 23).view(np.float32)
    return np.asarray(t / (_ONE + p * power), np.float32)
