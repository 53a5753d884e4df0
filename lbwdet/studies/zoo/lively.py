"""Random weights with which every layer's numbers have about the same size, as trained ones do."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_LAYERS = (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)
_LEAST = 1e-6  # of a standard deviation: what is smaller stays


@torch.no_grad()
def make_lively(model: nn.Module, run: Callable[[], Any]) -> None:
    """Scales weights so that what each layer adds to its bias has a standard deviation of 1.

    Initial weights give scores that are nearly the same everywhere, so that no box exceeds a
    threshold, and numbers that grow from block to block where batch norm has seen no data. Each
    layer is scaled, and each batch norm gets its statistics, when it is first met (as in Mishkin
    and Matas, All you need is a good init, arXiv 1511.06422).

    Args:
        model: in eval mode, float; changed in place.
        run: runs it on an image.
    """
    met: set[nn.Module] = set()

    def scale(layer: Any, _: Any, output: Tensor) -> Tensor | None:
        if layer in met:
            return None
        met.add(layer)
        bias = _bias(layer, output.dim())
        product = output - bias
        spread = float(product.std()) if product.numel() > 1 else 0.0
        if not _LEAST < spread < float("inf"):
            return None
        layer.weight /= spread
        return product / spread + bias

    def observe(norm: Any, inputs: tuple[Tensor, ...]) -> None:
        if norm in met or norm.running_mean is None:
            return
        met.add(norm)
        values = inputs[0].transpose(0, 1).flatten(1)
        if values.shape[1] > 1:
            norm.running_mean.copy_(values.mean(1))
            norm.running_var.copy_(values.var(1).clamp_min(_LEAST))

    hooks = [
        part.register_forward_hook(scale)
        if isinstance(part, _LAYERS)
        else part.register_forward_pre_hook(observe)
        for part in model.modules()
        if isinstance(part, (*_LAYERS, _BatchNorm))
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()


def _bias(layer: Any, rank: int) -> Tensor:
    """A layer's bias, for an output of so many axes."""
    if layer.bias is None:
        return torch.zeros(())
    sizes = [1] * rank
    sizes[-1 if isinstance(layer, nn.Linear) else 1] = -1
    bias: Tensor = layer.bias.reshape(sizes)
    return bias
