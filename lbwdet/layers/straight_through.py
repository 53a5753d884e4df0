"""The one straight-through operation of weights."""

import weakref
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Forgets(Protocol):
    """What has projected a weight, and must do so again when that has changed."""

    def forget_projection(self) -> None: ...


class StraightThrough(torch.autograd.Function):
    """Forward: the quantized weights. Backward: their gradients go to the master weights.

    No copy is made in either direction. A layer's ``forget_projection`` is called when the
    gradient of its weight arrives, the moment after which the master weight may change.

    Args:
        layers: held weakly: they may remember the results.
        quantized: one for each layer; they become the results, with a gradient.
        masters: one for each layer.
    """

    @staticmethod
    def forward(
        ctx: Any, layers: Sequence[Forgets], quantized: Sequence[Tensor], *masters: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.layers = [weakref.ref(layer) for layer in layers]
        return tuple(quantized)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        for reference, grad in zip(ctx.layers, grads, strict=True):
            if grad is not None and (layer := reference()) is not None:
                layer.forget_projection()
        return None, None, *grads
