"""The ReLU whose derivative is taken for 1."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lbwdet.layers.input_quantizer import InputQuantizer


class IdentityReLU(nn.ReLU):
    """``max(x, 0)`` forward, the gradient as it is backward.

    The identity estimator (arXiv 1903.05662) takes the derivative of the *whole* activation
    for 1, and that of a quantized layer's input is a ReLU and the quantizer after it. With
    the ReLU's own derivative in between, identity would be the ReLU estimator by another name.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and input.requires_grad):
            return super().forward(input)
        out: Tensor = _IdentityBackward.apply(input)
        return out


class _IdentityBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.relu()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


def match_relus(module: nn.Module, quantizers: Iterable[InputQuantizer]) -> None:
    """Makes the ReLU modules of ``module`` agree with the estimator of its input quantizers.

    All of them become :class:`IdentityReLU` if a quantizer asks for ``'identity'``,
    and plain ones again if none does. ``F.relu`` cannot be changed from outside.
    """
    identity = any(quantizer.settings.ste == "identity" for quantizer in quantizers)
    for part in module.modules():
        if type(part) in (nn.ReLU, IdentityReLU):
            part.__class__ = IdentityReLU if identity else nn.ReLU
