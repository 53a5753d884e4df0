"""The one straight-through operation of weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class StraightThrough(torch.autograd.Function):
    """Forward: the quantized weight. Backward: its gradient goes to the master weight.

    No copy is made in either direction. ``on_backward`` is called when the
    gradient arrives, the moment after which the master weight may change.
    """

    @staticmethod
    def forward(
        ctx: Any, master: Tensor, quantized: Tensor, on_backward: Callable[[], None]
    ) -> Tensor:
        ctx.on_backward = on_backward
        return quantized.view_as(quantized)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        ctx.on_backward()
        return grads[0], None, None
