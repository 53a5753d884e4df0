"""Random weights with which every layer's numbers have about the same size, as trained ones do."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_LAYERS = (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)
_LEAST = 1e-6  # of a standard deviation: what is smaller stays
_OFFSET = 1.0  # of norms, in standard deviations: most numbers pass the activation
_SHARE = 0.25  # of the mean variance of a norm's channels that each has at least


@torch.no_grad()
def make_lively(model: nn.Module, run: Callable[[], Any], scaled: bool = True) -> None:
    """Scales weights so that what each layer adds to its bias has a standard deviation of 1.

    Initial weights give scores that are nearly the same everywhere, so that no box exceeds a
    threshold, and numbers that grow from block to block where batch norm has seen no data. Each
    layer is scaled, and each batch norm gets its statistics, when it is first met (as in Mishkin
    and Matas, All you need is a good init, arXiv 1511.06422). Behind norms that half of all
    numbers leave below zero, deep random networks are chaotic: they magnify the rounding even of
    float32 a hundred times. With an offset they do not. Layers that begin with nothing but zeros,
    as those that predict where a deformable convolution samples, get random weights.

    Args:
        model: in eval mode; changed in place.
        run: runs it on some images.
        scaled: whether weights are scaled; if not, batch norms get their statistics, for quantized
            weights, whose size is another.
    """
    met: set[nn.Module] = set()
    if scaled:
        _wake(model)
        for part in model.modules():
            if isinstance(part, nn.GroupNorm) and part.affine:
                part.bias.fill_(_OFFSET)

    def scale(layer: Any, _: Any, output: Tensor) -> Tensor | None:
        if layer in met:
            return None
        met.add(layer)
        bias = 0.0 if layer.bias is None else layer.bias
        if layer.bias is not None and not isinstance(layer, nn.Linear):
            bias = layer.bias[:, None, None]  # of channels, before height and width
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
            variances = values.var(1)
            # A channel that these images leave dark must not outshine all others on the next.
            least = max(_SHARE * float(variances.mean()), _LEAST)
            norm.running_var.copy_(variances.clamp_min(least))
            if scaled and norm.affine:
                norm.bias.fill_(_OFFSET)

    with contextlib.ExitStack() as hooks:
        for part in model.modules():
            if isinstance(part, _BatchNorm):
                hooks.enter_context(part.register_forward_pre_hook(observe))
            elif scaled and isinstance(part, _LAYERS):
                hooks.enter_context(part.register_forward_hook(scale))
        run()


def _wake(model: nn.Module) -> None:
    """Random weights for layers that have none, which would leave untried what they lead to."""
    for part in model.modules():
        if isinstance(part, _LAYERS) and not part.weight.any():
            part.weight.normal_()
