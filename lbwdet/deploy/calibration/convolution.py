"""Convolution in reals by PyTorch, which is quicker with them than numpy."""

import numpy as np
import torch
from torch.nn import functional as F

from lbwdet.deploy.runtime.weights import Array

Pair = tuple[int, int]


def convolve(
    factors: Array, x: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int = 1
) -> Array:
    """Arguments and result as of :func:`lbwdet.deploy.runtime.arithmetic.convolution.convolve`.

    >>> ones = np.ones((2, 3, 1, 1), np.int8)
    >>> convolve(ones, np.ones((1, 4, 5, 3)), (2, 2), (0, 0), (1, 1)).shape
    (1, 2, 3, 2)
    """
    weight = torch.from_numpy(np.ascontiguousarray(factors, np.float32))
    maps = torch.from_numpy(np.ascontiguousarray(x, np.float32)).permute(0, 3, 1, 2)
    sums = F.conv2d(maps, weight, None, stride, padding, dilation, groups)
    return sums.permute(0, 2, 3, 1).contiguous().numpy()
