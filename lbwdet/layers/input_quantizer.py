"""The activation quantizer in front of a layer."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from lbwdet.errors import LBWError
from lbwdet.layers.input_samples import InputSamples
from lbwdet.quantizers import (
    ActivationSettings,
    best_relu_alpha,
    best_uniform_alpha,
    quantized_relu,
    uniform_quantize,
)
from lbwdet.quantizers.activation import check_finite_activation, relu_codes, uniform_codes

ALPHA_RATE = 0.01  # of the weights' learning rate, as in arXiv 1808.05240


class UncalibratedError(LBWError):
    """An activation quantizer is used that never saw data."""


class ResolutionError(LBWError):
    """A resolution collapsed to zero or below, or is NaN or infinite."""


class InputQuantizer(nn.Module):
    """Quantizes what a layer reads, with a resolution of its own.

    Detectors call one ``nn.ReLU`` in several places, and ``F.relu`` in others. At the
    *input of a layer* each use has its own resolution whatever computed the
    tensor, no graph has to be known, and it is where an integer engine needs integers.

    :func:`lbwdet.layers.calibration` decides from the data whether the input is never negative (the
    quantized ReLU, ``zero_point = 0``) or has both signs (uniform levels,
    ``zero_point > 0``), and finds the resolution. From then on the kind is fixed and
    ``alpha`` is learned: its gradient is multiplied by 0.01 and clipped to ±1 in
    the backward pass, so that an optimizer which holds it beside the weights moves it
    at a hundredth of their learning rate. (Adam undoes a constant factor: give it a
    parameter group with a smaller learning rate.)

    Attributes:
        settings: bit widths and estimators.
        layer_name: for error messages.
        alpha: the resolution, a float32 scalar parameter.
        zero_point: int32 scalar buffer.
        calibrated: the ``alpha`` that calibration found, 0 before it.
        gradient_limit: bound of alpha's gradient; a loss scaler multiplies it.

    All of these are in the state dict, so that training resumes exactly. A state dict
    without any of them, of a model with float activations, loads without complaint:
    calibration follows.
    """

    alpha: nn.Parameter
    zero_point: Tensor
    calibrated: Tensor

    def __init__(self, settings: ActivationSettings, layer_name: str = "") -> None:
        super().__init__()
        self.settings = settings
        self.layer_name = layer_name
        self.gradient_limit = 1.0
        self.alpha = nn.Parameter(torch.ones(()))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.int32))
        self.register_buffer("calibrated", torch.zeros(()))
        self._samples: InputSamples | None = None

    @property
    def is_calibrated(self) -> bool:
        return bool(self.calibrated > 0)

    @property
    def signed(self) -> bool:
        return bool(self.zero_point > 0)

    @property
    def unsigned(self) -> bool:
        return not self.signed

    @property
    def bit_width(self) -> int:
        """Bits of the integers; of the unsigned ones before calibration."""
        return self.settings.signed_bit_width if self.signed else self.settings.bit_width

    @property
    def rounding(self) -> str:
        """Of ``x / scale``: to the ``'nearest'`` integer, or up (``'ceil'``)."""
        return "nearest" if self.signed else "ceil"

    @property
    def scale(self) -> Tensor:
        """What one step of the integers is worth: ``alpha``, without gradient."""
        return self.alpha.detach().float()

    def quantize(self, x: Tensor) -> Tensor:
        """The integers, uint8 of ``x``'s shape; errors as of :meth:`forward`."""
        self._check(x)
        if self.signed:
            codes = uniform_codes(x, self.scale, int(self.zero_point), self.bit_width)
        else:
            codes = relu_codes(x, self.scale, self.bit_width)
        return codes.to(torch.uint8)

    def dequantize(self, codes: Tensor) -> Tensor:
        """``scale * (codes - zero_point)`` as float32, exactly the values of the forward pass."""
        return (codes.to(torch.int32) - self.zero_point).float() * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """The quantized input, in ``x``'s shape and dtype.

        Raises:
            UncalibratedError: no data was seen yet.
            ResolutionError: ``alpha`` is not a positive number.
            NonFiniteActivationError: ``x`` holds NaN or infinity.
        """
        if self._samples is not None:
            self._samples.add(x, self.name())
            return x
        self._check(x)
        alpha = self.alpha.float()
        if torch.is_grad_enabled() and alpha.requires_grad:
            alpha = _SlowGradient.apply(alpha, self.gradient_limit)
        if self.signed:
            zero_point = int(self.zero_point)
            return uniform_quantize(x, alpha, zero_point, self.bit_width, self.settings.ste)
        return quantized_relu(
            x, alpha, self.bit_width, self.settings.ste, self.settings.alpha_gradient
        )

    def collect(self) -> None:
        """From now on inputs pass as they are, and are remembered for :meth:`calibrate`."""
        self._samples = InputSamples()

    def calibrate(self) -> None:
        """Sets kind and resolution by the inputs since :meth:`collect`, if there were any."""
        samples, self._samples = self._samples, None
        if samples is None or not samples.values:
            return
        if self._takes_negative(samples):
            alpha, zero_point = best_uniform_alpha(
                samples.joined(), self.settings.signed_bit_width, self.settings.symmetric
            )
        else:
            alpha, zero_point = best_relu_alpha(samples.joined(), self.settings.bit_width), 0
        with torch.no_grad():
            self.alpha.fill_(alpha)
            self.calibrated.fill_(alpha)
            self.zero_point.fill_(zero_point)

    def forget(self) -> None:
        """Ends :meth:`collect` without calibrating."""
        self._samples = None

    def _takes_negative(self, samples: InputSamples) -> bool:
        return samples.low < 0

    def _check(self, x: Tensor) -> None:
        if not self.is_calibrated:
            raise UncalibratedError(
                f"{self.name()}: the activation quantizer has seen no data yet. In training, "
                "dict(type='ActivationHook') among the hooks calibrates it; elsewhere run a few "
                "batches under lbwdet.layers.calibration(model), or load a checkpoint that was "
                "trained with quantized activations."
            )
        if not 0 < (alpha := float(self.scale)) < math.inf:  # NaN, too
            raise ResolutionError(
                f"{self.name()}: the resolution of the activations is {alpha:g}, which no training "
                "that keeps it in range leaves: lower the learning rate, have "
                "dict(type='ActivationHook') among the hooks or call "
                "lbwdet.layers.limit_resolutions(model) after each step, or calibrate again."
            )
        check_finite_activation(x, self.name())

    def name(self) -> str:
        return self.layer_name or type(self).__name__

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        if any(prefix + key in state_dict for key in self.state_dict()):
            super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        return ", ".join(f"{key}={value!r}" for key, value in vars(self.settings).items())


class _SlowGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, alpha: Tensor, limit: float) -> Tensor:
        ctx.limit = limit
        return alpha.view_as(alpha)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return (ALPHA_RATE * grads[0]).clamp(-ctx.limit, ctx.limit), None
