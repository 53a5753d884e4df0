"""The float64 sine that every engine computes alike."""

import math

import numpy as np

from lbwdet.deploy.runtime.context import Array


def sine(x: Array) -> Array:
    """``sin(x)``, to about 1e-13 for arguments up to some thousands.

    With ``k = rint(x * (1 / pi))``, ``r = x - k * pi`` and ``q = r * r``, the series is summed from
    its end, ``p = 1;  for n = 10 .. 1:  p = 1 - p * q / (2n * (2n + 1))``, and the result is
    ``r * p``, negative of odd k.
    """
    k = np.rint(x * (1 / math.pi))
    r = x - k * math.pi
    q, p = r * r, np.ones_like(r)
    for n in range(10, 0, -1):
        p = 1 - p * q / (2 * n * (2 * n + 1))
    return np.asarray(np.where(k % 2 == 0, r * p, -(r * p)))


def slowness(channels: int, temperature: float) -> Array:
    """float32 [channels]: of how many of the first number's waves each one's is a share.

    ``f32(temperature ** (-2 * (k // 2) / channels))``: two numbers share a wave.
    """
    pairs = [2 * (k // 2) / channels for k in range(channels)]
    return np.array([temperature**-pair for pair in pairs], np.float32)
