"""Rounding to given levels so that the *outputs* change least, not the weights.

For inputs with second moments H (``sum of x x^T``) the outputs of a row ``w`` of a layer's
weight change by ``(w - q) H (w - q)^T``. Two steps towards the levels with the least of it:

1. error feedback (optimal brain compression, known as GPTQ for uniform grids): with U
   the upper Cholesky factor of H's inverse, ``H^-1 = U^T U``, columns in descending order
   of H's diagonal: round column i, then take ``(w_i - q_i) / U_ii * U_ij`` from each
   column j behind it, which makes up for the error as well as those columns can;
2. sweeps of coordinate descent: each weight in turn goes to the level that is best while
   all others stay; the error never rises.

Neither needs the levels to be evenly spaced. Rows are independent of each other. All
of it takes several *groups* at once, each with moments of its own, as grouped and
depthwise convolutions have them.
"""

import torch
from torch import Tensor

_BLOCK = 64  # columns between two updates of all columns behind
_ROUNDING = 1e-5  # of sums of squares in float32


class Levels:
    """Zero and ``±magnitude``, relative to the top level.

    Args:
        magnitudes: float32 [n], ascending, positive; the last one is 1.
    """

    def __init__(self, magnitudes: Tensor) -> None:
        self._values = torch.cat([magnitudes.new_zeros(1), magnitudes])
        self._middles = (self._values[1:] + self._values[:-1]) / 2

    def nearest(self, values: Tensor, top: Tensor) -> Tensor:
        """The nearest levels, for top levels ``top`` that broadcast to ``values``."""
        index = torch.bucketize((values / top).abs(), self._middles, right=True)
        return self._values[index].copysign(values) * top


def damped(moments: Tensor, damping: float, scale: Tensor | None = None) -> Tensor:
    """``H + damping * mean(diagonal of H)``, and 1 on the diagonal of a group of zeros.

    Args:
        moments: float64 [G, d, d].
        damping: a share.
        scale: [G], mean diagonals before a mean was taken off: what is 10^-5 of them is
            rounding, which may be negative.
    """
    diagonal = moments.diagonal(dim1=-2, dim2=-1)
    ridge = damping * diagonal.mean(-1).clamp(min=0)
    if scale is not None:
        ridge = ridge + _ROUNDING * scale
    ridge = torch.where(ridge > 0, ridge, 1.0)[:, None]
    return moments + torch.diag_embed(ridge.expand_as(diagonal))


def upper_factor(moments: Tensor) -> Tensor:
    """U with ``H^-1 = U^T U`` for H of [G, d, d], positive definite, float64."""
    # H = L L^T with rows and columns reversed gives H^-1 = U^T U without an inverse of H:
    # reversed again, L^-1 is upper triangular.
    lower = torch.linalg.cholesky(moments.flip(-2, -1))
    identity = torch.eye(moments.shape[-1], dtype=moments.dtype, device=moments.device)
    inverse: Tensor = torch.linalg.solve_triangular(lower, identity.expand_as(lower), upper=False)
    return inverse.flip(-2, -1)


def feed_back(weight: Tensor, factor: Tensor, levels: Levels, top: Tensor) -> Tensor:
    """Step 1, for columns in the order given.

    Args:
        weight: float32 [G, R, d].
        factor: float32 [G, d, d], the upper factor.
        levels: of one row.
        top: float32 [G, R], the top level of each row.

    Returns:
        float32 [G, R, d] of levels.
    """
    weight = weight.clone()
    result = torch.empty_like(weight)
    columns = weight.shape[-1]
    for start in range(0, columns, _BLOCK):
        end = min(start + _BLOCK, columns)
        errors = torch.empty_like(weight[..., start:end])
        for i in range(start, end):
            result[..., i] = levels.nearest(weight[..., i], top)
            error = (weight[..., i] - result[..., i]) / factor[:, None, i, i]
            errors[..., i - start] = error
            weight[..., i + 1 : end] -= error[..., None] * factor[:, None, i, i + 1 : end]
        weight[..., end:] -= errors @ factor[:, start:end, end:]
    return result


def descend(
    rounded: Tensor, weight: Tensor, moments: Tensor, levels: Levels, top: Tensor, sweeps: int
) -> Tensor:
    """Step 2; changes and returns ``rounded``.

    Args:
        rounded, weight: float32 [G, R, d].
        moments: float32 [G, d, d].
        levels, top: as in :func:`feed_back`.
    """
    columns = weight.shape[-1]
    diagonal = moments.diagonal(dim1=-2, dim2=-1)
    for _ in range(sweeps):
        changed = False
        for start in range(0, columns, _BLOCK):
            end = min(start + _BLOCK, columns)
            slope = (weight - rounded) @ moments[..., start:end]
            for i in range(start, end):
                old = rounded[..., i]
                new = levels.nearest(old + slope[..., i - start] / diagonal[:, None, i], top)
                step = new - old
                rounded[..., i] = new
                slope -= step[..., None] * moments[:, None, i, start:end]
                changed = changed or bool(step.any())
        if not changed:
            break
    return rounded


def output_error(difference: Tensor, moments: Tensor) -> Tensor:
    """``(w - q) H (w - q)^T`` of each row: [G, R] of differences [G, R, d]."""
    return ((difference @ moments) * difference).sum(-1)
