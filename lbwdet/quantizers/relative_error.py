"""How far a quantized tensor is from what it stands for."""

import torch
from torch import Tensor


@torch.no_grad()
def relative_error(tensor: Tensor, quantized: Tensor) -> float:
    """``|W - Q|^2 / |W|^2``, summed in float64; 0 where ``W`` is zero and ``Q`` is, too.

    Where ``W`` alone is zero, or its squares are too small for float64, no share says
    how wrong ``Q`` is: infinity.

    >>> relative_error(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 5.0]))
    0.04
    """
    exact = tensor.double()
    missed = (exact - quantized.double()).square().sum().item()
    power = exact.square().sum().item()
    if missed == 0:
        return 0.0
    return missed / power if power > 0 else float("inf")
