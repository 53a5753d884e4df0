"""Quantized activations: ``alpha * (q - zero_point)`` with an integer ``q`` in ``0 .. L``.

``L = 2**bit_width - 1`` and ``alpha > 0`` is the resolution. Two rules:

- After a ReLU (``zero_point = 0``), the quantized ReLU of arXiv 1808.05240::

      sigma(x) = 0                       for x <= 0
                 alpha * ceil(x / alpha) for 0 < x <= alpha * L
                 alpha * L               above

- For tensors of both signs, uniform levels with the nearest one taken (ties to even)::

      sigma(x) = alpha * (clamp(round(x / alpha) + zero_point, 0, L) - zero_point)

Zero is a level of both, so that padding with zeros stays exact.

An integer engine knows ``x / alpha`` as a fixed-point number ``n / 2**s``. Then
``ceil(x / alpha) = (n + 2**s - 1) >> s`` with an arithmetic shift. An engine whose
only shift rounds half up, ``(m + 2**(s-1)) >> s``, gets the same with
``m = n + 2**(s-1) - 1``: the constant can be folded into the bias. Rounding ``n``
itself (``m = n``) is another function: half a resolution lower on average.
"""

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from lbwdet.errors import ConfigError, LBWError
from lbwdet.quantizers.levels import BIT_WIDTHS

ESTIMATORS = ("clipped_relu", "relu", "identity")
GRANULARITIES = ("tensor", "channel")
ALPHA_GRADIENTS = ("three_valued", "two_valued", "exact")


class NonFiniteActivationError(LBWError, ValueError):
    """An activation to be quantized is NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class ActivationSettings:
    """How the inputs of layers are quantized.

    Attributes:
        bit_width: 1 to 8, of inputs that are never negative (after a ReLU).
        signed_bit_width: 2 to 8, of all other inputs.
        symmetric: the zero point of inputs of both signs is ``2**(signed_bit_width - 1)``,
            so that one level more lies below zero than above; otherwise it follows the data.
        ste: what the backward pass takes for the derivative of ``sigma``
            (arXiv 1903.05662): ``'clipped_relu'``: 1 where no value is clipped;
            ``'relu'``: 1 above zero; ``'identity'``: 1 everywhere, also through the ReLU
            before it where that is a module. For inputs of both signs there is no ReLU,
            and ``'relu'`` is ``'identity'``.
        alpha_gradient: d sigma / d alpha of the quantized ReLU, see
            :func:`quantized_relu`.
        granularity: one step for a ``'tensor'``, which is learned, or one per ``'channel'`` of
            what a convolution reads, powers of two that calibration finds; then ``bit_width``
            is that of both kinds, 3 at least.

    Raises:
        ConfigError: a value that is not allowed.
    """

    bit_width: int = 8
    signed_bit_width: int = 8
    symmetric: bool = False
    ste: str = "clipped_relu"
    alpha_gradient: str = "three_valued"
    granularity: str = "tensor"

    def __post_init__(self) -> None:
        for key, least in (("bit_width", 1), ("signed_bit_width", 2)):
            value = getattr(self, key)
            if isinstance(value, bool) or value not in BIT_WIDTHS[least - 1 :]:
                raise ConfigError(
                    f"activation {key}={value!r} is not supported; "
                    f"choose {least} to {BIT_WIDTHS[-1]}, or activation=None for float activations"
                )
        if not isinstance(self.symmetric, bool):
            raise ConfigError(f"activation symmetric={self.symmetric!r}: choose True or False")
        for key, allowed in (
            ("ste", ESTIMATORS),
            ("alpha_gradient", ALPHA_GRADIENTS),
            ("granularity", GRANULARITIES),
        ):
            if getattr(self, key) not in allowed:
                raise ConfigError(
                    f"activation {key}={getattr(self, key)!r} is not known; "
                    f"choose one of {', '.join(allowed)}"
                )
        if self.granularity == "channel" and self.bit_width < 3:
            raise ConfigError(
                f"activation bit_width={self.bit_width} with granularity='channel': choose 3 to "
                f"{BIT_WIDTHS[-1]}"
            )


def check_finite_activation(x: Tensor, name: str) -> None:
    """Raises NonFiniteActivationError, naming the layer, if ``x`` holds NaN or infinity."""
    if x.numel() == 0:
        return
    low, high = torch.aminmax(x.detach())  # NaN comes through
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = int((~torch.isfinite(x)).sum())
        raise NonFiniteActivationError(
            f"{name}: {bad} of {x.numel()} values of its input are NaN or infinite and cannot be "
            "quantized. The training diverged or an earlier layer is damaged: lower the learning "
            "rate, clip gradients, or go back to an earlier checkpoint."
        )


def top_code(bit_width: int) -> int:
    """``L``, the largest integer.

    >>> top_code(4)
    15
    """
    return (1 << bit_width) - 1


def relu_codes(x: Tensor, alpha: Tensor, bit_width: int) -> Tensor:
    """The integers of the quantized ReLU, as float32 of ``x``'s shape."""
    return (x.float() / alpha).ceil_().clamp_(0, top_code(bit_width))


def uniform_codes(x: Tensor, alpha: Tensor, zero_point: int, bit_width: int) -> Tensor:
    """The integers of the uniform quantizer, as float32 of ``x``'s shape."""
    return (x.float() / alpha).round_().add_(zero_point).clamp_(0, top_code(bit_width))


def quantized_relu(
    x: Tensor,
    alpha: Tensor,
    bit_width: int,
    ste: str = "clipped_relu",
    alpha_gradient: str = "three_valued",
) -> Tensor:
    """``sigma(x)`` of a post-ReLU tensor, with a coarse gradient for ``x`` and ``alpha``.

    d sigma / d alpha in the regions ``x <= 0``, ``0 < x <= alpha * L`` and above is

    - ``'exact'``: 0, ``ceil(x / alpha)``, L: the derivative almost everywhere
    - ``'three_valued'``: 0, ``2**(bit_width - 1)``, L: its mean over the levels
    - ``'two_valued'``: 0, 0, L

    Args:
        x: any shape and float type.
        alpha: float32 scalar tensor, > 0.
        bit_width: 1 to 8.
        ste, alpha_gradient: see :class:`ActivationSettings`.

    >>> quantized_relu(torch.tensor([-1.0, 0.2, 0.5, 9.0]), torch.tensor(0.5), 2)
    tensor([0.0000, 0.5000, 0.5000, 1.5000])
    """
    out: Tensor = _QuantizedReLU.apply(x, alpha, bit_width, ste, alpha_gradient)
    return out


def uniform_quantize(
    x: Tensor, alpha: Tensor, zero_point: int, bit_width: int, ste: str = "clipped_relu"
) -> Tensor:
    """``sigma(x)`` of a tensor of both signs, with a coarse gradient for ``x`` and ``alpha``.

    d sigma / d alpha is that of ``alpha * (round(x / alpha))`` with the derivative of
    ``round`` taken for 1: ``q - zero_point - x / alpha`` between the outermost levels,
    and ``-zero_point`` or ``L - zero_point`` beyond them.

    Args:
        x: any shape and float type.
        alpha: float32 scalar tensor, > 0.
        zero_point: the integer that stands for zero, 0 to ``L``.
        bit_width: 1 to 8.
        ste: see :class:`ActivationSettings`.

    >>> uniform_quantize(torch.tensor([-9.0, -0.4, 0.3, 9.0]), torch.tensor(0.5), 1, 2)
    tensor([-0.5000, -0.5000,  0.5000,  1.0000])
    """
    out: Tensor = _UniformQuantize.apply(x, alpha, zero_point, bit_width, ste)
    return out


class _QuantizedReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, alpha: Tensor, bit_width: int, ste: str, alpha_gradient: str
    ) -> Tensor:
        ctx.save_for_backward(x, alpha)
        ctx.settings = (bit_width, ste, alpha_gradient)
        return relu_codes(x, alpha, bit_width).mul_(alpha).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (x, alpha) = grads, ctx.saved_tensors
        bit_width, ste, alpha_gradient = ctx.settings
        top = top_code(bit_width)
        above = x > alpha * top
        inside = (x > 0) & ~above
        grad_x = grad_alpha = None
        if ctx.needs_input_grad[0]:
            passed = {"clipped_relu": inside, "relu": inside | above, "identity": None}[ste]
            grad_x = grad if passed is None else grad * passed
        if ctx.needs_input_grad[1]:
            grad = grad.float()
            if alpha_gradient == "exact":
                grad_alpha = (grad * relu_codes(x, alpha, bit_width)).sum()
            else:
                grad_alpha = top * (grad * above).sum()
                if alpha_gradient == "three_valued":
                    grad_alpha = grad_alpha + 2 ** (bit_width - 1) * (grad * inside).sum()
        return grad_x, grad_alpha, None, None, None


class _UniformQuantize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, alpha: Tensor, zero_point: int, bit_width: int, ste: str
    ) -> Tensor:
        ctx.save_for_backward(x, alpha)
        ctx.settings = (zero_point, bit_width, ste)
        codes = uniform_codes(x, alpha, zero_point, bit_width)
        return codes.sub_(zero_point).mul_(alpha).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (x, alpha) = grads, ctx.saved_tensors
        zero_point, bit_width, ste = ctx.settings
        ratio = x.float() / alpha
        inside = (ratio >= -zero_point) & (ratio <= top_code(bit_width) - zero_point)
        grad_x = grad_alpha = None
        if ctx.needs_input_grad[0]:
            grad_x = grad * inside if ste == "clipped_relu" else grad
        if ctx.needs_input_grad[1]:
            slope = uniform_codes(x, alpha, zero_point, bit_width) - zero_point
            slope = slope - ratio.where(inside, 0.0)
            grad_alpha = (grad.float() * slope).sum()
        return grad_x, grad_alpha, None, None, None
