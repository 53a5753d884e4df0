"""Small helpers shared by the operators."""

from collections.abc import Callable

import torch
from torch import Tensor


def widen(tensor: Tensor) -> Tensor:
    """The tensor in float32, or unchanged if it is float64.

    torchvision's CPU kernels lack bfloat16 and partly float16, and coordinates
    of large images do not fit into either.
    """
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def gradients(
    function: Callable[..., Tensor], inputs: tuple[Tensor, ...], grad_output: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of ``function(*inputs)`` by autograd, one for each input.

    For use inside a backward pass, where autograd does not record by itself.
    """
    leaves = [widen(tensor).detach().requires_grad_() for tensor in inputs]
    with torch.enable_grad():
        output = function(*leaves)
    return torch.autograd.grad(output, leaves, grad_output.to(output.dtype))
