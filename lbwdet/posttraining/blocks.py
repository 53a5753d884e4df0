"""Layers with more inputs than a matrix of second moments may have: block by block.

The outputs wanted, ``Y = W X'``, and the columns X themselves are kept, of fewer positions.
Blocks of inputs are rounded one after the other; each aims at what the others leave of Y:

    T_b = W_b + (Y - Q_done X_done - W_rest X_rest) X_b^T (X_b X_b^T + ridge)^-1,

so the error of one block is made up for by those behind it, as within a block.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lbwdet.posttraining.rounding import damped

LARGEST = 2304  # inputs of a block: 42 MB of float64 moments
_SAMPLES = 50_000_000  # values of X that are kept: 200 MB
BYTES = 400_000_000  # all of it: X, Y, and the moments of a block


def positions(inputs: int) -> int:
    """Number of columns of so many inputs that are kept."""
    return max(1, _SAMPLES // inputs)


def round_blocks(
    weight: Tensor,
    columns: Tensor,
    wanted: Tensor,
    damping: float,
    choose: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """The rounded weight, float32 [R, d].

    Args:
        weight: float32 [R, d].
        columns: float32 [d, P].
        wanted: float32 [R, P].
        damping: of the moments.
        choose: rounds a target, float64 [1, R, b], by damped moments, float64 [1, b, b].
    """
    left = wanted - weight @ columns
    number = -(-weight.shape[1] // LARGEST)
    result = torch.empty_like(weight)
    for index in torch.arange(weight.shape[1]).tensor_split(number):
        part = slice(int(index[0]), int(index[-1]) + 1)
        x = columns[part]
        moments = damped((x @ x.T).double()[None], damping)
        change = torch.linalg.solve(moments[0], (left @ x.T).double().T).T
        target = weight[:, part].double() + change
        result[:, part] = choose(target[None], moments)[0]
        left -= (result[:, part] - weight[:, part]) @ x
    return result
